// SPDX-License-Identifier: GPL-2.0-or-later
//
// The comparison of the models as a picture (SVG 1.1).
#pragma once

#include <string>
#include <vector>

#include "compare/compare.h"

namespace suture::cli {

std::string compare_plot(const std::vector<compare::ComparedWay>& ways, const std::string& title);

}  // namespace suture::cli
