// SPDX-License-Identifier: GPL-2.0-or-later
//
// The certificates that are built into a kernel (.builtin_trusted_keys):
// certs/system_certificates.S puts them into the image, one DER certificate after the other,
// between system_certificate_list and its size.
#pragma once

#include <vector>

#include "base/bytes.h"
#include "base/error.h"
#include "kernel/image.h"

namespace suture::kernel {

// Empty where the kernel has none. bad-image where the list is cut off or lies.
Result<std::vector<Bytes>> builtin_certificates(const Image& image);

// The certificates of such a list, as certs/common.c takes it apart.
Result<std::vector<Bytes>> split_certificates(ByteView list);

}  // namespace suture::kernel
