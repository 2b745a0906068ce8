// SPDX-License-Identifier: GPL-2.0-or-later
//
// Unpacking Debian packages into a directory, whatever their archives say.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/file.h"

namespace suture::kernel {

// Where under the destination an archive's entry goes; nothing: it is left out. Names come without
// a leading "./".
using Placement = std::function<std::optional<std::string>(std::string_view name)>;

// Unpacks what `place` selects of a .deb. An entry that would land outside `destination`, or is no
// file, directory or link inside it, is bad-package, and so is a damaged or cut-off archive.
Status unpack_deb(const fs::path& deb, const fs::path& destination, const Placement& place);

// The same for a plain archive (.tar.xz).
Status unpack_tar(const fs::path& tar, const fs::path& destination, const Placement& place);

// Unpacks the .tar.xz that is the file `name` inside a .deb (linux-source-X.Y.tar.xz), as a stream:
// the inner archive is never written to disk. Its top directory is left off.
Status unpack_tar_in_deb(const fs::path& deb, std::string_view name, const fs::path& destination);

}  // namespace suture::kernel
