// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: a kernel's source is a tar in xz in a tar in xz in ar, 1.3 GB and 80,000 files in the
// end, and the time goes into decoding xz.
//
// Method: archives are read as streams stacked on each other: libarchive reads the .deb, its data
// member feeds a second reader, and the source tarball inside that is decoded by liblzma on all
// processors (Debian's tarballs come in independent blocks) into a third. Files are written by
// their path below one directory.
//
// Invariants: nothing is written outside the destination: names with ".." or a root are refused,
// and the way to each entry is walked from the destination on, one directory at a time and never
// through a link, whoever made it. A link leads up by its first parts only, and not out of the
// destination: so what it leads to, through whatever other links, lies inside. A file is never
// written over another.
#include "kernel/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <lzma.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <thread>
#include <vector>

#include "base/descriptor.h"
#include "base/process.h"

namespace suture::kernel {

namespace {

struct ArchiveFree {
  void operator()(archive* a) const { archive_read_free(a); }
};
using Archive = std::unique_ptr<archive, ArchiveFree>;

constexpr std::size_t chunk_size = std::size_t{1} << 18;

std::unexpected<Error> damaged(const std::string& where, std::string_view why) {
  return fail(Code::bad_package, where, fmt::format("the archive is damaged: {}", why),
              "remove the file from the cache's downloads directory and fetch it again");
}

std::unexpected<Error> damaged(const std::string& where, archive* a) {
  if (interrupted()) {
    return fail(Code::interrupted, where, "interrupted", "run the command again");
  }
  const char* text = archive_error_string(a);
  return damaged(where, text == nullptr ? "unknown error" : text);
}

// The next entry, or null at the end.
Result<archive_entry*> next_entry(archive* a, const std::string& where) {
  archive_entry* entry = nullptr;
  int status = interrupted() ? ARCHIVE_FATAL : archive_read_next_header(a, &entry);
  if (status == ARCHIVE_EOF) {
    return nullptr;
  }
  if (status < ARCHIVE_WARN) {
    return damaged(where, a);
  }
  return entry;
}

std::string_view entry_name(archive_entry* entry) {
  const char* text = archive_entry_pathname(entry);
  std::string_view name = text == nullptr ? "" : text;
  while (name.starts_with("./")) {
    name.remove_prefix(2);
  }
  while (name.ends_with('/')) {
    name.remove_suffix(1);
  }
  return name == "." ? std::string_view{} : name;
}

// An archive inside an entry of another archive.
class Nested {
 public:
  explicit Nested(archive* outer) : outer_(outer), buffer_(chunk_size) {}

  static la_ssize_t read(archive* inner, void* self, const void** out) {
    auto* nested = static_cast<Nested*>(self);
    la_ssize_t got = archive_read_data(nested->outer_, nested->buffer_.data(), chunk_size);
    if (got < 0) {
      archive_set_error(inner, EIO, "%s", archive_error_string(nested->outer_));
    }
    *out = nested->buffer_.data();
    return got;
  }

 private:
  archive* outer_;
  std::vector<std::uint8_t> buffer_;
};

// The same where the entry is an xz stream, decoded by several threads.
class NestedXz {
 public:
  explicit NestedXz(archive* outer) : outer_(outer), in_(chunk_size), out_(4 * chunk_size) {
    lzma_mt options{};
    options.threads = std::max(1U, std::thread::hardware_concurrency());
    options.timeout = 300;  // give up what is ready, so that an interrupt is seen
    options.memlimit_threading = std::uint64_t{1} << 30;
    options.memlimit_stop = std::uint64_t{2} << 30;
    started_ = lzma_stream_decoder_mt(&stream_, &options) == LZMA_OK;
  }
  NestedXz(const NestedXz&) = delete;
  NestedXz& operator=(const NestedXz&) = delete;
  ~NestedXz() { lzma_end(&stream_); }

  static la_ssize_t read(archive* inner, void* self, const void** out) {
    return static_cast<NestedXz*>(self)->decode(inner, out);
  }

 private:
  la_ssize_t decode(archive* inner, const void** out);

  archive* outer_;
  std::vector<std::uint8_t> in_, out_;
  lzma_stream stream_ = LZMA_STREAM_INIT;
  bool started_ = false;
  bool input_ended_ = false;
  bool ended_ = false;
};

la_ssize_t NestedXz::decode(archive* inner, const void** out) {
  auto give_up = [&](const char* why) -> la_ssize_t {
    archive_set_error(inner, EIO, "%s", why);
    return -1;
  };
  if (!started_) {
    return give_up("no memory for the xz decoder");
  }
  stream_.next_out = out_.data();
  stream_.avail_out = out_.size();
  while (!ended_ && stream_.avail_out == out_.size()) {
    if (interrupted()) {
      return give_up("interrupted");
    }
    if (stream_.avail_in == 0 && !input_ended_) {
      la_ssize_t got = archive_read_data(outer_, in_.data(), in_.size());
      if (got < 0) {
        return give_up(archive_error_string(outer_));
      }
      input_ended_ = got == 0;
      stream_.next_in = in_.data();
      stream_.avail_in = static_cast<std::size_t>(got);
    }
    lzma_ret status = lzma_code(&stream_, input_ended_ ? LZMA_FINISH : LZMA_RUN);
    if (status == LZMA_STREAM_END) {
      ended_ = true;
    } else if (status != LZMA_OK) {
      return give_up(input_ended_ ? "the xz data is cut off" : "the xz data is damaged");
    }
  }
  *out = out_.data();
  return static_cast<la_ssize_t>(out_.size() - stream_.avail_out);
}

class Writer {
 public:
  Writer(const fs::path& destination, std::string where)
      : destination_(destination), where_(std::move(where)) {}

  Status write(archive* a, archive_entry* entry, std::string_view place);

 private:
  using Parts = std::vector<std::string>;

  std::unexpected<Error> unsafe(std::string_view place, std::string_view why) const {
    return fail(Code::bad_package, where_, fmt::format("'{}' {}", place, why),
                "do not use this package");
  }
  Result<Parts> parts_of(std::string_view place) const;
  Status enter(const Parts& directories);
  Status write_file(archive* a, const std::string& name, mode_t mode, std::string_view place);
  Status write_link(archive_entry* entry, const Parts& parts, std::string_view place);

  const fs::path& destination_;
  std::string where_;
  Parts entered_;         // the way from the destination to
  Descriptor directory_;  // the directory that the last entry went into
};

// The names on the way to a place, the last one its own. None is "..", "." or empty.
Result<Writer::Parts> Writer::parts_of(std::string_view place) const {
  if (place.empty() || place.starts_with('/')) {
    return unsafe(place, "is an absolute path or none");
  }
  Parts parts;
  for (std::size_t start = 0; start < place.size();) {
    const std::size_t end = std::min(place.find('/', start), place.size());
    const std::string_view part = place.substr(start, end - start);
    if (part == "..") {
      return unsafe(place, "leads out of the package");
    }
    if (!part.empty() && part != ".") {
      parts.emplace_back(part);
    }
    start = end + 1;
  }
  if (parts.empty()) {
    return unsafe(place, "is an absolute path or none");
  }
  return parts;
}

// Goes into that directory below the destination, and makes what is missing on the way.
Status Writer::enter(const Parts& directories) {
  if (directory_.get() >= 0 && directories == entered_) {
    return {};
  }
  Descriptor at(::open(destination_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (at.get() < 0) {
    return fail_errno(errno, destination_.string(), "open");
  }
  std::string place;
  for (const std::string& name : directories) {
    place += (place.empty() ? "" : "/") + name;
    if (::mkdirat(at.get(), name.c_str(), 0755) != 0 && errno != EEXIST) {
      return fail_errno(errno, (destination_ / place).string(), "create directory");
    }
    Descriptor next(
        ::openat(at.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (next.get() < 0 && (errno == ELOOP || errno == ENOTDIR)) {
      return unsafe(place, "is a link or a file, and an entry leads through it");
    }
    if (next.get() < 0) {
      return fail_errno(errno, (destination_ / place).string(), "open");
    }
    at = std::move(next);
  }
  directory_ = std::move(at);
  entered_ = directories;
  return {};
}

Status Writer::write_file(archive* a, const std::string& name, mode_t mode,
                          std::string_view place) {
  const std::string target = (destination_ / place).string();
  int fd =
      ::openat(directory_.get(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
               (mode & 0111) != 0 ? 0755 : 0644);
  if (fd < 0) {
    return fail_errno(errno, target, "create");
  }
  Status result;
  const void* data = nullptr;
  std::size_t size = 0;
  la_int64_t offset = 0;
  for (;;) {
    int status = archive_read_data_block(a, &data, &size, &offset);
    if (status == ARCHIVE_EOF) {
      break;
    }
    if (status < ARCHIVE_WARN) {
      result = damaged(where_, a);
      break;
    }
    // Blocks come in order; a hole between two is left for the file system to fill with zeros.
    ssize_t put = ::pwrite(fd, data, size, offset);
    if (put != static_cast<ssize_t>(size)) {
      result = fail_errno(put < 0 ? errno : ENOSPC, target, "write");
      break;
    }
  }
  if (::close(fd) != 0 && result) {
    result = fail_errno(errno, target, "close");
  }
  return result;
}

// Only the first parts may be "..": behind a name, which may be another link, nobody knows from
// where it would lead up.
Status Writer::write_link(archive_entry* entry, const Parts& parts, std::string_view place) {
  const char* text = archive_entry_symlink(entry);
  const fs::path to = text == nullptr ? "" : text;
  std::size_t up = 0;
  bool down = false;
  for (const fs::path& part : to) {
    if (part == ".." && down) {
      return unsafe(place, "is a link that leads up again");
    }
    up += part == ".." ? 1 : 0;
    down = down || (part != ".." && part != "." && !part.empty());
  }
  if (to.empty() || to.is_absolute() || up >= parts.size()) {
    return unsafe(place, "is a link out of the package");
  }
  if (::symlinkat(to.c_str(), directory_.get(), parts.back().c_str()) != 0) {
    return fail_errno(errno, (destination_ / place).string(), "link");
  }
  return {};
}

Status Writer::write(archive* a, archive_entry* entry, std::string_view place) {
  Parts parts = TRY(parts_of(place));
  if (archive_entry_hardlink(entry) != nullptr) {
    return unsafe(place, "is a hard link");
  }
  const auto type = archive_entry_filetype(entry);
  if (type == AE_IFDIR) {
    return enter(parts);
  }
  if (type != AE_IFREG && type != AE_IFLNK) {
    return unsafe(place, "is neither file, directory nor link");
  }
  const std::string name = parts.back();
  TRY(enter({parts.begin(), parts.end() - 1}));
  return type == AE_IFREG ? write_file(a, name, archive_entry_mode(entry), place)
                          : write_link(entry, parts, place);
}

// A .deb opened down to the tar of its files.
struct Deb {
  std::string where;
  Archive outer, inner;
  std::unique_ptr<Nested> nested;
};

Result<Deb> open_deb(const fs::path& path) {
  Deb deb;
  deb.where = path.filename().string();
  deb.outer.reset(archive_read_new());
  archive_read_support_format_ar(deb.outer.get());
  if (archive_read_open_filename(deb.outer.get(), path.c_str(), chunk_size) != ARCHIVE_OK) {
    return damaged(deb.where, deb.outer.get());
  }
  while (archive_entry* member = TRY(next_entry(deb.outer.get(), deb.where))) {
    if (!entry_name(member).starts_with("data.tar")) {
      continue;
    }
    deb.nested = std::make_unique<Nested>(deb.outer.get());
    deb.inner.reset(archive_read_new());
    archive_read_support_format_tar(deb.inner.get());
    archive_read_support_filter_all(deb.inner.get());
    if (archive_read_open(deb.inner.get(), deb.nested.get(), nullptr, &Nested::read, nullptr) !=
        ARCHIVE_OK) {
      return damaged(deb.where, deb.inner.get());
    }
    return deb;
  }
  return damaged(deb.where, "it is no Debian package");
}

Status unpack_all(archive* a, const std::string& where, const fs::path& destination,
                  const Placement& place) {
  Writer writer(destination, where);
  while (archive_entry* entry = TRY(next_entry(a, where))) {
    std::string_view name = entry_name(entry);
    auto to = name.empty() ? std::nullopt : place(name);
    if (to && !to->empty()) {
      TRY(writer.write(a, entry, *to));
    }
  }
  return {};
}

}  // namespace

Status unpack_deb(const fs::path& path, const fs::path& destination, const Placement& place) {
  Deb deb = TRY(open_deb(path));
  return unpack_all(deb.inner.get(), deb.where, destination, place);
}

Status unpack_tar(const fs::path& path, const fs::path& destination, const Placement& place) {
  const std::string where = path.filename().string();
  Archive tar(archive_read_new());
  archive_read_support_format_tar(tar.get());
  archive_read_support_filter_all(tar.get());
  if (archive_read_open_filename(tar.get(), path.c_str(), chunk_size) != ARCHIVE_OK) {
    return damaged(where, tar.get());
  }
  return unpack_all(tar.get(), where, destination, place);
}

Status unpack_tar_in_deb(const fs::path& path, std::string_view name, const fs::path& destination) {
  Deb deb = TRY(open_deb(path));
  while (archive_entry* entry = TRY(next_entry(deb.inner.get(), deb.where))) {
    if (entry_name(entry) != name) {
      continue;
    }
    std::string where = fmt::format("{}: {}", deb.where, name);
    NestedXz nested(deb.inner.get());
    Archive tar(archive_read_new());
    archive_read_support_format_tar(tar.get());
    if (archive_read_open(tar.get(), &nested, nullptr, &NestedXz::read, nullptr) != ARCHIVE_OK) {
      return damaged(where, tar.get());
    }
    return unpack_all(tar.get(), where, destination, [](std::string_view member) {
      std::size_t slash = member.find('/');
      return slash == std::string_view::npos ? std::nullopt
                                             : std::optional(std::string(member.substr(slash + 1)));
    });
  }
  return fail(Code::bad_package, deb.where, fmt::format("the package does not hold {}", name),
              "use a package of Debian's own archive");
}

}  // namespace suture::kernel
