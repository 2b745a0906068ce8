// SPDX-License-Identifier: GPL-2.0-or-later
//
// A module's identity: its name, modinfo, the versions of the symbols that it imports, its build
// id.
#pragma once

#include "module/glue.h"
#include "module/metadata.h"
#include "module/placing.h"

namespace suture::module {

// Comes last: the imports must be known, and the build id is made of everything else. Fills in
// metadata.vermagic and metadata.build_id.
void write_identity(Metadata& metadata, const Glue& glue, const kernel::Symvers& symvers,
                    const Placing& placing, Assembly& assembly);

}  // namespace suture::module
