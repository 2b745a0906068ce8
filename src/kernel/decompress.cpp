// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: unpack one stream of any of the seven formats a kernel is shipped in, from input that
// may be cut off, damaged or hostile, and stop where the stream stops. Method: the magic picks one
// function a format. Each asks Output for room, lets the format's library fill it, and says how
// much it took. lzop and lz4's legacy frame have no such library: their containers are walked here,
// block by block, and only the blocks go to liblzo2 and liblz4. Invariants: no more than
// max_unpacked bytes are ever produced; every length that comes from the input is checked against
// the input's end before use; success means that the format's own end mark was seen (lz4's legacy
// frame has none: see unpack_lz4).
#include "kernel/decompress.h"

#include <bzlib.h>
#include <fmt/format.h>
#include <lz4.h>
#include <lzma.h>
#include <lzo/lzo1x.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <limits>
#include <memory>

namespace suture::kernel {

namespace {

// The unpacked bytes so far, with room after them that grows by doubling up to max_unpacked.
class Output {
 public:
  // At least one free byte, or an empty span at the limit.
  std::span<std::uint8_t> room() {
    if (used_ == bytes_.size()) {
      bytes_.resize(std::min(max_unpacked, std::max(bytes_.size() * 2, first_step)));
    }
    return std::span(bytes_).subspan(used_);
  }
  // Exactly `size` free bytes, or an empty span where that is above the limit.
  std::span<std::uint8_t> room(std::size_t size) {
    if (size > max_unpacked - used_) {
      return {};
    }
    if (bytes_.size() - used_ < size) {
      bytes_.resize(std::min(max_unpacked, std::max(bytes_.size() * 2, used_ + size)));
    }
    return std::span(bytes_).subspan(used_, size);
  }
  void took(std::size_t size) { used_ += size; }
  // The stream ends at this byte of the input.
  void ends_at(std::size_t position) { input_end_ = position; }
  std::size_t input_end() const { return input_end_; }
  std::size_t size() const { return used_; }
  Bytes finish() && {
    bytes_.resize(used_);
    return std::move(bytes_);
  }

 private:
  static constexpr std::size_t first_step = std::size_t{256} << 10;
  Bytes bytes_;
  std::size_t used_ = 0;
  std::size_t input_end_ = 0;
};

// Why unpacking failed; an empty reason means that it did not.
using Reason = std::string;

Reason too_large() { return fmt::format("it unpacks to more than {} MiB", max_unpacked >> 20); }
Reason cut_off() { return "the compressed data is cut off"; }
Reason damaged() { return "the compressed data is damaged"; }

// The libraries count in int or unsigned int; a larger input is fed in parts of this size.
constexpr std::size_t max_part = std::size_t{1} << 30;

Reason unpack_gzip(ByteView in, Output& out) {
  z_stream stream{};
  if (inflateInit2(&stream, 15 + 16) != Z_OK) {
    return "zlib cannot be started";
  }
  std::unique_ptr<z_stream, decltype(&inflateEnd)> closer(&stream, inflateEnd);
  std::size_t fed = 0;
  for (;;) {
    auto room = out.room();
    if (room.empty()) {
      return too_large();
    }
    if (stream.avail_in == 0) {
      stream.next_in = const_cast<Bytef*>(in.data() + fed);
      stream.avail_in = static_cast<uInt>(std::min(in.size() - fed, max_part));
      fed += stream.avail_in;
    }
    stream.next_out = room.data();
    stream.avail_out = static_cast<uInt>(room.size());
    int status = inflate(&stream, Z_NO_FLUSH);
    out.took(room.size() - stream.avail_out);
    if (status == Z_STREAM_END) {
      out.ends_at(fed - stream.avail_in);
      return {};
    }
    if (status == Z_BUF_ERROR ||
        (status == Z_OK && stream.avail_in == 0 && fed == in.size() && stream.avail_out != 0)) {
      return cut_off();
    }
    if (status != Z_OK) {
      return damaged();
    }
  }
}

Reason unpack_bzip2(ByteView in, Output& out) {
  bz_stream stream{};
  if (BZ2_bzDecompressInit(&stream, 0, 0) != BZ_OK) {
    return "bzip2 cannot be started";
  }
  std::unique_ptr<bz_stream, decltype(&BZ2_bzDecompressEnd)> closer(&stream, BZ2_bzDecompressEnd);
  std::size_t fed = 0;
  for (;;) {
    auto room = out.room();
    if (room.empty()) {
      return too_large();
    }
    if (stream.avail_in == 0) {
      stream.next_in = const_cast<char*>(as_text(in.subspan(fed)).data());
      stream.avail_in = static_cast<unsigned>(std::min(in.size() - fed, max_part));
      fed += stream.avail_in;
    }
    stream.next_out = reinterpret_cast<char*>(room.data());
    stream.avail_out = static_cast<unsigned>(room.size());
    int status = BZ2_bzDecompress(&stream);
    out.took(room.size() - stream.avail_out);
    if (status == BZ_STREAM_END) {
      out.ends_at(fed - stream.avail_in);
      return {};
    }
    if (status != BZ_OK) {
      return damaged();
    }
    if (stream.avail_in == 0 && fed == in.size() && stream.avail_out != 0) {
      return cut_off();
    }
  }
}

// The kernel compresses with dictionaries of up to 128 MiB; a stream that asks for much more lies.
constexpr std::uint64_t lzma_memory = std::uint64_t{256} << 20;

// Both of liblzma's containers; `alone` is the old .lzma one.
Reason unpack_lzma(ByteView in, Output& out, bool alone) {
  lzma_stream stream = LZMA_STREAM_INIT;
  lzma_ret status = alone ? lzma_alone_decoder(&stream, lzma_memory)
                          : lzma_stream_decoder(&stream, lzma_memory, 0);
  if (status != LZMA_OK) {
    return "liblzma cannot be started";
  }
  std::unique_ptr<lzma_stream, decltype(&lzma_end)> closer(&stream, lzma_end);
  stream.next_in = in.data();
  stream.avail_in = in.size();
  for (;;) {
    auto room = out.room();
    if (room.empty()) {
      return too_large();
    }
    stream.next_out = room.data();
    stream.avail_out = room.size();
    status = lzma_code(&stream, LZMA_RUN);
    out.took(room.size() - stream.avail_out);
    if (status == LZMA_STREAM_END) {
      out.ends_at(in.size() - stream.avail_in);
      return {};
    }
    if (status == LZMA_MEMLIMIT_ERROR) {
      return fmt::format("unpacking it needs more than {} MiB of memory", lzma_memory >> 20);
    }
    if (status == LZMA_BUF_ERROR) {
      return cut_off();
    }
    if (status != LZMA_OK) {
      return damaged();
    }
  }
}

Reason unpack_zstd(ByteView in, Output& out) {
  std::unique_ptr<ZSTD_DStream, decltype(&ZSTD_freeDStream)> stream(ZSTD_createDStream(),
                                                                    ZSTD_freeDStream);
  if (!stream) {
    return "zstd cannot be started";
  }
  // `zstd --ultra -22`, which the kernel's makefiles run, writes windows of 2^27.
  ZSTD_DCtx_setParameter(stream.get(), ZSTD_d_windowLogMax, 27);
  ZSTD_inBuffer input{in.data(), in.size(), 0};
  for (;;) {
    auto room = out.room();
    if (room.empty()) {
      return too_large();
    }
    ZSTD_outBuffer output{room.data(), room.size(), 0};
    std::size_t status = ZSTD_decompressStream(stream.get(), &output, &input);
    out.took(output.pos);
    if (ZSTD_isError(status) != 0) {
      return damaged();
    }
    if (status == 0) {
      out.ends_at(input.pos);
      return {};
    }
    if (input.pos == input.size && output.pos < output.size) {
      return cut_off();
    }
  }
}

constexpr std::uint32_t lz4_magic = 0x184C2102;
constexpr std::size_t lz4_block = std::size_t{8} << 20;  // what every block but the last unpacks to

// The legacy frame: a magic, then blocks of a 32-bit length and that many bytes, and no end mark.
// It ends with the input, or with the four bytes of the unpacked size that the kernel appends.
Reason unpack_lz4(ByteView in, Output& out) {
  std::size_t at = 4;
  while (at != in.size()) {
    auto length = read_le<std::uint32_t>(in, at);
    if (!length) {
      return cut_off();
    }
    at += 4;
    if (at == in.size() && out.size() != 0 && *length == out.size()) {
      out.ends_at(at);
      return {};
    }
    if (*length == lz4_magic) {  // frames may follow each other
      continue;
    }
    auto block = slice(in, at, *length);
    if (!block) {
      return cut_off();
    }
    at += *length;
    if (*length > static_cast<std::size_t>(LZ4_COMPRESSBOUND(lz4_block))) {
      return damaged();
    }
    auto room = out.room(std::min(lz4_block, max_unpacked - out.size()));
    if (room.empty()) {
      return too_large();
    }
    int got = LZ4_decompress_safe(as_text(*block).data(), reinterpret_cast<char*>(room.data()),
                                  static_cast<int>(block->size()), static_cast<int>(room.size()));
    if (got < 0) {
      return damaged();
    }
    out.took(static_cast<std::size_t>(got));
  }
  out.ends_at(at);
  return out.size() == 0 ? cut_off() : Reason{};
}

// lzop's container stores its numbers big-endian.
class BigEndianReader {
 public:
  explicit BigEndianReader(ByteView bytes) : bytes_(bytes) {}
  // 0 once the input has ended; ok() tells.
  template <class T>
  T take() {
    T value = 0;
    for (std::uint8_t byte : take_bytes(sizeof(T))) {
      value = static_cast<T>((std::uint64_t{value} << 8) | byte);
    }
    return value;
  }
  ByteView take_bytes(std::size_t size) {
    auto part = slice(bytes_, at_, size);
    if (!part) {
      ok_ = false;
      return {};
    }
    at_ += size;
    return *part;
  }
  bool ok() const { return ok_; }
  std::size_t position() const { return at_; }

 private:
  ByteView bytes_;
  std::size_t at_ = 0;
  bool ok_ = true;
};

constexpr std::array<std::uint8_t, 9> lzop_magic = {0x89, 'L', 'Z', 'O', 0, '\r', '\n', 0x1a, '\n'};

// lzop's header flags.
constexpr std::uint32_t lzop_adler_unpacked = 0x1;
constexpr std::uint32_t lzop_adler_packed = 0x2;
constexpr std::uint32_t lzop_extra_field = 0x40;
constexpr std::uint32_t lzop_crc_unpacked = 0x100;
constexpr std::uint32_t lzop_crc_packed = 0x200;
constexpr std::uint32_t lzop_filter = 0x800;
constexpr std::size_t lzop_max_block = std::size_t{64} << 20;

// Reads past lzop's file header and returns its flags.
std::uint32_t read_lzop_header(BigEndianReader& reader) {
  reader.take_bytes(lzop_magic.size());
  const bool modern = reader.take<std::uint16_t>() >= 0x0940;
  reader.take_bytes(modern ? 4 : 2);  // library version, version needed
  reader.take_bytes(modern ? 2 : 1);  // method, level
  const auto flags = reader.take<std::uint32_t>();
  if ((flags & lzop_filter) != 0) {
    reader.take<std::uint32_t>();
  }
  reader.take_bytes(modern ? 12 : 8);  // mode, time stamp
  reader.take_bytes(reader.take<std::uint8_t>());
  reader.take<std::uint32_t>();  // header checksum
  if ((flags & lzop_extra_field) != 0) {
    reader.take_bytes(reader.take<std::uint32_t>());
    reader.take<std::uint32_t>();
  }
  return flags;
}

Reason unpack_lzop_block(ByteView block, std::span<std::uint8_t> room) {
  if (block.size() == room.size()) {  // did not get smaller: stored
    std::ranges::copy(block, room.begin());
    return {};
  }
  lzo_uint got = room.size();
  int status = lzo1x_decompress_safe(block.data(), block.size(), room.data(), &got, nullptr);
  return status != LZO_E_OK || got != room.size() ? damaged() : Reason{};
}

Reason unpack_lzo(ByteView in, Output& out) {
  if (lzo_init() != LZO_E_OK) {
    return "liblzo2 cannot be started";
  }
  BigEndianReader reader(in);
  const std::uint32_t flags = read_lzop_header(reader);
  for (;;) {
    const auto unpacked = reader.take<std::uint32_t>();
    if (!reader.ok()) {
      return cut_off();
    }
    if (unpacked == 0) {
      out.ends_at(reader.position());
      return {};
    }
    const auto packed = reader.take<std::uint32_t>();
    const bool has_adler = (flags & lzop_adler_unpacked) != 0;
    const std::uint32_t adler = has_adler ? reader.take<std::uint32_t>() : 0;
    reader.take_bytes((flags & lzop_crc_unpacked) != 0 ? 4 : 0);
    if (packed < unpacked) {
      reader.take_bytes((flags & lzop_adler_packed) != 0 ? 4 : 0);
      reader.take_bytes((flags & lzop_crc_packed) != 0 ? 4 : 0);
    }
    if (packed == 0 || packed > unpacked || unpacked > lzop_max_block) {
      return reader.ok() ? damaged() : cut_off();
    }
    ByteView block = reader.take_bytes(packed);
    if (!reader.ok()) {
      return cut_off();
    }
    auto room = out.room(unpacked);
    if (room.empty()) {
      return too_large();
    }
    if (Reason reason = unpack_lzop_block(block, room); !reason.empty()) {
      return reason;
    }
    if (has_adler && adler32_z(1, room.data(), room.size()) != adler) {
      return damaged();
    }
    out.took(unpacked);
  }
}

Reason unpack(Compression compression, ByteView in, Output& out) {
  switch (compression) {
    case Compression::gzip: return unpack_gzip(in, out);
    case Compression::xz: return unpack_lzma(in, out, false);
    case Compression::zstd: return unpack_zstd(in, out);
    case Compression::lz4: return unpack_lz4(in, out);
    case Compression::lzo: return unpack_lzo(in, out);
    case Compression::lzma: return unpack_lzma(in, out, true);
    case Compression::bzip2: return unpack_bzip2(in, out);
    case Compression::none: break;
  }
  return "it is not compressed in a way known here (gzip, xz, zstd, lz4, lzo, lzma, bzip2)";
}

}  // namespace

Compression compression_of(ByteView bytes) {
  using namespace std::string_view_literals;
  const std::string_view text = as_text(bytes);
  static constexpr std::pair<std::string_view, Compression> magics[] = {
      {"\x1f\x8b"sv, Compression::gzip},
      {"\xfd"
       "7zXZ\0"sv,
       Compression::xz},
      {"\x28\xb5\x2f\xfd"sv, Compression::zstd},
      {"\x02\x21\x4c\x18"sv, Compression::lz4},
      {"\x5d\0\0"sv, Compression::lzma},
      {"BZh"sv, Compression::bzip2},
  };
  for (const auto& [magic, compression] : magics) {
    if (text.starts_with(magic)) {
      return compression;
    }
  }
  return bytes.size() >= lzop_magic.size() && std::ranges::equal(bytes.first(9), lzop_magic)
             ? Compression::lzo
             : Compression::none;
}

Result<Bytes> decompress(ByteView bytes, const std::string& where, Code code) {
  Output out;
  if (Reason reason = unpack(compression_of(bytes), bytes, out); !reason.empty()) {
    return fail(code, where, std::move(reason), "fetch or build the file again");
  }
  return std::move(out).finish();
}

Result<Bytes> decompress_all(ByteView bytes, const std::string& where, Code code) {
  Output out;
  for (bool first = true; first || compression_of(bytes) != Compression::none; first = false) {
    if (Reason reason = unpack(compression_of(bytes), bytes, out); !reason.empty()) {
      return fail(code, where, std::move(reason), "fetch or build the file again");
    }
    bytes = bytes.subspan(out.input_end());
  }
  if (std::ranges::any_of(bytes, [](std::uint8_t byte) { return byte != 0; })) {
    return fail(code, where, "something else follows the compressed data",
                "fetch or build the file again");
  }
  return std::move(out).finish();
}

}  // namespace suture::kernel
