// SPDX-License-Identifier: GPL-2.0-or-later
//
// Makes, by each format's own library, the compressed streams that src/kernel/decompress.cpp reads,
// and the boot image around one.
#pragma once

#include <bzlib.h>
#include <lz4.h>
#include <lzma.h>
#include <lzo/lzo1x.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <ostream>
#include <string>
#include <vector>

#include "base/bytes.h"

namespace suture::test {

inline Bytes pack_gzip(ByteView data) {
  z_stream stream{};
  deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY);
  Bytes out(deflateBound(&stream, data.size()));
  stream.next_in = const_cast<Bytef*>(data.data());
  stream.avail_in = static_cast<uInt>(data.size());
  stream.next_out = out.data();
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

inline Bytes pack_xz(ByteView data) {
  Bytes out(lzma_stream_buffer_bound(data.size()));
  std::size_t used = 0;
  const lzma_ret status = lzma_easy_buffer_encode(6, LZMA_CHECK_CRC32, nullptr, data.data(),
                                                  data.size(), out.data(), &used, out.size());
  out.resize(status == LZMA_OK ? used : 0);
  return out;
}

inline Bytes pack_lzma(ByteView data) {
  lzma_options_lzma options;
  lzma_lzma_preset(&options, 6);
  lzma_stream stream = LZMA_STREAM_INIT;
  Bytes out(data.size() + 4096);
  if (lzma_alone_encoder(&stream, &options) != LZMA_OK) {
    return {};
  }
  stream.next_in = data.data();
  stream.avail_in = data.size();
  stream.next_out = out.data();
  stream.avail_out = out.size();
  const bool done = lzma_code(&stream, LZMA_FINISH) == LZMA_STREAM_END;
  out.resize(done ? stream.total_out : 0);
  lzma_end(&stream);
  return out;
}

// With a checksum, as the zstd command writes it.
inline Bytes pack_zstd(ByteView data) {
  ZSTD_CCtx* context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
  Bytes out(ZSTD_compressBound(data.size()));
  out.resize(ZSTD_compress2(context, out.data(), out.size(), data.data(), data.size()));
  ZSTD_freeCCtx(context);
  return out;
}

inline Bytes pack_bzip2(ByteView data) {
  auto size = static_cast<unsigned>(data.size() + data.size() / 100 + 600);
  Bytes out(size);
  BZ2_bzBuffToBuffCompress(reinterpret_cast<char*>(out.data()), &size,
                           const_cast<char*>(as_text(data).data()),
                           static_cast<unsigned>(data.size()), 9, 0, 0);
  out.resize(size);
  return out;
}

// The legacy frame, in blocks of 8 MiB.
inline Bytes pack_lz4(ByteView data) {
  Bytes out;
  append_le<std::uint32_t>(out, 0x184C2102);
  while (!data.empty()) {
    const ByteView part = data.first(std::min(data.size(), std::size_t{8} << 20));
    data = data.subspan(part.size());
    Bytes block(static_cast<std::size_t>(LZ4_compressBound(static_cast<int>(part.size()))));
    const int size =
        LZ4_compress_default(as_text(part).data(), reinterpret_cast<char*>(block.data()),
                             static_cast<int>(part.size()), static_cast<int>(block.size()));
    append_le(out, static_cast<std::uint32_t>(size));
    out.insert(out.end(), block.begin(), block.begin() + size);
  }
  return out;
}

inline void append_be(Bytes& out, std::uint64_t value, int size) {
  for (int i = size - 1; i >= 0; --i) {
    out.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
  }
}

// lzop's container as lzop 1.04 writes it: checksums of the unpacked blocks, blocks of 256 KiB, and
// a block that does not get smaller is stored.
inline Bytes pack_lzo(ByteView data) {
  if (lzo_init() != LZO_E_OK) {
    return {};
  }
  Bytes out = {0x89, 'L', 'Z', 'O', 0, '\r', '\n', 0x1a, '\n'};
  append_be(out, 0x1040, 2);      // version
  append_be(out, 0x20a0, 2);      // library version
  append_be(out, 0x0940, 2);      // version needed
  append_be(out, 1, 1);           // method
  append_be(out, 5, 1);           // level
  append_be(out, 0x03000001, 4);  // flags: Unix, Adler-32 of the unpacked blocks
  append_be(out, 0100644, 4);     // mode
  append_be(out, 0, 8);           // time stamp
  append_be(out, 0, 1);           // name length
  append_be(out, 0, 4);           // header checksum, not looked at
  while (!data.empty()) {
    const ByteView part = data.first(std::min(data.size(), std::size_t{256} << 10));
    data = data.subspan(part.size());
    Bytes block(part.size() + part.size() / 16 + 67);
    std::vector<lzo_align_t> work(LZO1X_1_MEM_COMPRESS / sizeof(lzo_align_t) + 1);
    lzo_uint size = 0;
    lzo1x_1_compress(part.data(), part.size(), block.data(), &size, work.data());
    const bool stored = size >= part.size();
    append_be(out, part.size(), 4);
    append_be(out, stored ? part.size() : size, 4);
    append_be(out, adler32_z(1, part.data(), part.size()), 4);
    if (stored) {
      out.insert(out.end(), part.begin(), part.end());
    } else {
      out.insert(out.end(), block.begin(), block.begin() + static_cast<std::ptrdiff_t>(size));
    }
  }
  append_be(out, 0, 4);
  return out;
}

struct Packer {
  std::string name;
  Bytes (*pack)(ByteView);

  friend void PrintTo(const Packer& packer, std::ostream* out) { *out << packer.name; }
};

inline const std::vector<Packer>& packers() {
  static const std::vector<Packer> all = {
      {"gzip", pack_gzip}, {"xz", pack_xz},     {"zstd", pack_zstd},   {"lz4", pack_lz4},
      {"lzo", pack_lzo},   {"lzma", pack_lzma}, {"bzip2", pack_bzip2},
  };
  return all;
}

// A boot image, of protocol 2.15, that holds `payload`.
inline Bytes boot_image(const Bytes& payload, std::uint8_t setup_sects = 3) {
  const std::uint32_t payload_offset = 64;
  const std::size_t setup = (std::size_t{setup_sects == 0 ? 4U : setup_sects} + 1) * 512;
  Bytes image(setup + payload_offset);
  image[0x1f1] = setup_sects;
  write_le<std::uint16_t>(image, 0x1fe, 0xaa55);
  write_le<std::uint32_t>(image, 0x202, 0x53726448);
  write_le<std::uint16_t>(image, 0x206, 0x020f);
  write_le(image, 0x248, payload_offset);
  write_le(image, 0x24c, static_cast<std::uint32_t>(payload.size()));
  image.insert(image.end(), payload.begin(), payload.end());
  return image;
}

}  // namespace suture::test
