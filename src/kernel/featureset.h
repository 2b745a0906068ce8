// SPDX-License-Identifier: GPL-2.0-or-later
//
// Debian's featuresets: flavours whose kernel is built from a source that has further patches,
// which are only in the packaging that the source package brings (debian/patches-rt), not in
// linux-source.
#pragma once

#include <string>

#include "base/error.h"
#include "base/file.h"

namespace suture::kernel {

// "rt" of "6.1.0-56-rt-amd64", nothing where linux-source is the whole source.
std::string featureset_of(const std::string& release);

// Applies the featureset's patches of `packaging` (linux_VERSION.debian.tar.xz) to `tree`, in the
// order that their series states. bad-package where there are none, prepare-failed where one does
// not fit.
Status apply_featureset(const fs::path& packaging, const std::string& featureset,
                        const fs::path& tree);

}  // namespace suture::kernel
