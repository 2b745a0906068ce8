// SPDX-License-Identifier: GPL-2.0-or-later
//
// Unpacking the compressed streams that kernel images and modules come in. The one place that knows
// these formats: vmlinuz payloads and .ko.gz/.ko.xz/.ko.zst files both go through it.
#pragma once

#include <string>

#include "base/bytes.h"
#include "base/error.h"

namespace suture::kernel {

enum class Compression { none, gzip, xz, zstd, lz4, lzo, lzma, bzip2 };

// What the first bytes announce; `none` where it is no format known here.
Compression compression_of(ByteView bytes);

// Nothing that Suture reads is larger when unpacked; more is a decompression bomb.
inline constexpr std::size_t max_unpacked = std::size_t{512} << 20;

// Unpacks the one stream that `bytes` starts with; what follows its end is not looked at, since the
// kernel appends the unpacked size to most payloads. A stream that is cut off, damaged, larger than
// max_unpacked or of no known format is `code`.
Result<Bytes> decompress(ByteView bytes, const std::string& where, Code code = Code::bad_image);

// Unpacks all streams of `bytes`, one behind the other as `cat a.gz b.gz` leaves them. What is
// behind the last one but zero bytes is an error, too.
Result<Bytes> decompress_all(ByteView bytes, const std::string& where, Code code);

}  // namespace suture::kernel
