// SPDX-License-Identifier: GPL-2.0-or-later
//
// From a bootable image to the vmlinux ELF inside it. x86: Documentation/arch/x86/boot.rst,
// protocol 2.08 and later (setup_sects, payload_offset, payload_length); the payload is compressed
// with one of gzip, xz, zstd, lz4 (legacy frame), lzo (lzop), lzma or bzip2, scripts/Makefile.lib.
// A raw ELF vmlinux is taken as it is.
#pragma once

#include <string>

#include "base/bytes.h"
#include "base/error.h"

namespace suture::kernel {

// The ELF image. bad-image where the input is cut off, lies or holds no ELF file.
Result<Bytes> extract_vmlinux(ByteView vmlinuz, const std::string& where);

}  // namespace suture::kernel
