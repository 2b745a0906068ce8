// SPDX-License-Identifier: GPL-2.0-or-later
//
// The sources of what runs inside the kernel travel in the program: they are compiled for each
// kernel by that kernel's own build system.
#pragma once

#include <span>
#include <string_view>

namespace suture::module {

struct KmodSource {
  std::string_view path;  // below kmod/: "core/Kbuild", "include/suture.h", ...
  std::string_view text;
};

// By path.
std::span<const KmodSource> kmod_sources();
// The text of one that is known to be there.
std::string_view kmod_source(std::string_view path);

}  // namespace suture::module
