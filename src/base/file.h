// SPDX-License-Identifier: GPL-2.0-or-later
//
// Files: whole reads, mapped reads, atomic writes, locks. A writer never leaves half a file: it
// writes to a temporary name beside the target, syncs nothing it need not, and renames.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/descriptor.h"
#include "base/error.h"

namespace suture {

namespace fs = std::filesystem;

Result<std::string> read_text(const fs::path& path);
// Its first line; empty where it cannot be read.
std::string first_line(const fs::path& path);
Result<Bytes> read_bytes(const fs::path& path);
// What is left to read of an open file; `path` names it in errors.
Result<Bytes> read_bytes(const Descriptor& fd, const fs::path& path);

// All of the bytes, where the open file stands; `path` names it in errors.
Status write_bytes(const Descriptor& fd, ByteView bytes, const fs::path& path);

// Writes to `path` by way of a temporary file in the same directory and a rename.
Status write_file(const fs::path& path, ByteView bytes, unsigned mode = 0644);
Status write_file(const fs::path& path, std::string_view text, unsigned mode = 0644);

// The same, and on the disk when it returns, with exactly that mode; the directory is synced too.
Status write_file_durably(const fs::path& path, ByteView bytes, unsigned mode = 0644);
// One that is not there is fine.
Status remove_file_durably(const fs::path& path);

// $TMPDIR, else /tmp; it need not be there.
fs::path temporary_directory();
Status make_directories(const fs::path& path);
Status rename_path(const fs::path& from, const fs::path& to);

// A read-only mapping of a whole file; the bytes stay valid while the object lives.
class MappedFile {
 public:
  static Result<MappedFile> open(const fs::path& path);
  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();
  ByteView bytes() const { return {data_, size_}; }

 private:
  const std::uint8_t* data_ = nullptr;
  std::size_t size_ = 0;
};

// A directory that is removed with everything in it when the object dies.
class TempDir {
 public:
  // Creates `PARENT/PREFIX.XXXXXX`.
  static Result<TempDir> create(const fs::path& parent, std::string_view prefix);
  TempDir() = default;
  TempDir(TempDir&& other) noexcept;
  TempDir& operator=(TempDir&& other) noexcept;
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir();
  const fs::path& path() const { return path_; }
  Status rename(const fs::path& to);
  // Gives the directory up: it stays after the object dies.
  fs::path release();

 private:
  fs::path path_;
};

// An exclusive advisory lock on a file (created when missing), held until the object dies or the
// process does, however it does. Nobody but the file's owner may open it: who can read a file can
// lock it, and keep its owner waiting.
class FileLock {
 public:
  // Waits while another process holds it, so many seconds at most: then `busy`.
  static Result<FileLock> acquire(const fs::path& path, double seconds);
  // Does not wait: `busy` while another holds it.
  static Result<FileLock> try_acquire(const fs::path& path);
  FileLock() = default;

 private:
  Descriptor fd_;
};

// A temporary directory whose owner can be told to be alive: its lock ends with the process. What
// killed processes of this user left in the same place is removed when another one is made there.
class WorkDir {
 public:
  // Creates `PARENT/PREFIX.XXXXXX`. All directories of that prefix there that are this user's must
  // be made by this.
  static Result<WorkDir> create(const fs::path& parent, std::string_view prefix);
  WorkDir() = default;
  const fs::path& path() const { return directory_.path(); }

 private:
  FileLock alive_;  // given up after the directory is gone
  TempDir directory_;
};

}  // namespace suture
