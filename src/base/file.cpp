// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/file.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <tuple>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/descriptor.h"
#include "base/process.h"

namespace suture {

namespace {

// Reads until end of file rather than trusting st_size: sysfs and procfs report no useful size.
template <class Container>
Result<Container> read_whole(const Descriptor& fd, const fs::path& path) {
  struct stat st {};
  if (::fstat(fd.get(), &st) != 0) {
    return fail_errno(errno, path.string(), "stat");
  }
  Container out;
  out.resize(st.st_size > 0 ? static_cast<std::size_t>(st.st_size) + 1 : 4096);
  std::size_t used = 0;
  for (;;) {
    if (used == out.size()) {
      out.resize(out.size() * 2);
    }
    ssize_t got = ::read(fd.get(), out.data() + used, out.size() - used);
    if (got < 0) {
      if (errno == EINTR) {
        continue;
      }
      return fail_errno(errno, path.string(), "read");
    }
    if (got == 0) {
      break;
    }
    used += static_cast<std::size_t>(got);
  }
  out.resize(used);
  return out;
}

template <class Container>
Result<Container> open_whole(const fs::path& path) {
  const Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) {
    return fail_errno(errno, path.string(), "open");
  }
  return read_whole<Container>(fd, path);
}

enum class Durable { no, yes };

// So that a name that was made, replaced or removed in it outlives a crash.
Status sync_directory(const fs::path& path) {
  const Descriptor fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.get() < 0 || ::fsync(fd.get()) != 0) {
    return fail_errno(errno, path.string(), "sync");
  }
  return {};
}

// All of the bytes. 0, or an errno.
int write_whole(int fd, ByteView bytes) {
  for (std::size_t done = 0; done < bytes.size();) {
    const ssize_t put = ::write(fd, bytes.data() + done, bytes.size() - done);
    if (put >= 0) {
      done += static_cast<std::size_t>(put);
    } else if (errno != EINTR) {
      return errno;
    }
  }
  return 0;
}

Status write_and_rename(const fs::path& path, ByteView bytes, unsigned mode, Durable durable) {
  static std::atomic<unsigned> serial{0};
  fs::path temporary = path;
  temporary += fmt::format(".tmp.{}.{}", ::getpid(), serial.fetch_add(1));
  int raw = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  if (raw < 0) {
    return fail_errno(errno, path.string(), "create");
  }
  auto give_up = [&](int err, std::string_view what) {
    ::unlink(temporary.c_str());
    return fail_errno(err, path.string(), what);
  };
  if (const int err = write_whole(raw, bytes); err != 0) {
    ::close(raw);
    return give_up(err, "write");
  }
  // Durable files have the mode that is asked for, whatever the umask is.
  if (durable == Durable::yes && (::fchmod(raw, mode) != 0 || ::fsync(raw) != 0)) {
    int err = errno;
    ::close(raw);
    return give_up(err, "sync");
  }
  if (::close(raw) != 0) {
    return give_up(errno, "close");
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) {
    return give_up(errno, "rename");
  }
  return {};
}

}  // namespace

Result<std::string> read_text(const fs::path& path) { return open_whole<std::string>(path); }

std::string first_line(const fs::path& path) {
  auto text = read_text(path);
  return text ? text->substr(0, text->find('\n')) : std::string{};
}

Result<Bytes> read_bytes(const fs::path& path) { return open_whole<Bytes>(path); }

Result<Bytes> read_bytes(const Descriptor& fd, const fs::path& path) {
  return read_whole<Bytes>(fd, path);
}

Status write_bytes(const Descriptor& fd, ByteView bytes, const fs::path& path) {
  const int err = write_whole(fd.get(), bytes);
  return err == 0 ? Status{} : Status(fail_errno(err, path.string(), "write"));
}

Status write_file(const fs::path& path, ByteView bytes, unsigned mode) {
  return write_and_rename(path, bytes, mode, Durable::no);
}

Status write_file_durably(const fs::path& path, ByteView bytes, unsigned mode) {
  TRY(write_and_rename(path, bytes, mode, Durable::yes));
  return sync_directory(path.parent_path());
}

Status remove_file_durably(const fs::path& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
    return fail_errno(errno, path.string(), "remove");
  }
  return sync_directory(path.parent_path());
}

Status write_file(const fs::path& path, std::string_view text, unsigned mode) {
  return write_file(path, as_bytes(text), mode);
}

fs::path temporary_directory() {
  const char* given = std::getenv("TMPDIR");
  return given != nullptr && *given != '\0' ? given : "/tmp";
}

Status make_directories(const fs::path& path) {
  std::error_code ec;
  fs::create_directories(path, ec);
  if (ec) {
    return fail_errno(ec.value(), path.string(), "create directory");
  }
  return {};
}

Status rename_path(const fs::path& from, const fs::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) {
    return fail_errno(errno, to.string(), "rename");
  }
  return {};
}

Result<MappedFile> MappedFile::open(const fs::path& path) {
  Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) {
    return fail_errno(errno, path.string(), "open");
  }
  struct stat st {};
  if (::fstat(fd.get(), &st) != 0) {
    return fail_errno(errno, path.string(), "stat");
  }
  MappedFile file;
  if (st.st_size == 0) {
    return file;
  }
  void* data =
      ::mmap(nullptr, static_cast<std::size_t>(st.st_size), PROT_READ, MAP_PRIVATE, fd.get(), 0);
  if (data == MAP_FAILED) {
    return fail_errno(errno, path.string(), "map");
  }
  file.data_ = static_cast<const std::uint8_t*>(data);
  file.size_ = static_cast<std::size_t>(st.st_size);
  return file;
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) {
    ::munmap(const_cast<std::uint8_t*>(data_), size_);
  }
}

Result<TempDir> TempDir::create(const fs::path& parent, std::string_view prefix) {
  TRY(make_directories(parent));
  std::string pattern = (parent / fmt::format("{}.XXXXXX", prefix)).string();
  if (::mkdtemp(pattern.data()) == nullptr) {
    return fail_errno(errno, pattern, "create directory");
  }
  TempDir dir;
  dir.path_ = pattern;
  return dir;
}

TempDir::TempDir(TempDir&& other) noexcept : path_(std::exchange(other.path_, {})) {}

TempDir& TempDir::operator=(TempDir&& other) noexcept {
  std::swap(path_, other.path_);
  return *this;
}

TempDir::~TempDir() {
  if (!path_.empty()) {
    std::error_code ec;
    fs::remove_all(path_, ec);
  }
}

Status TempDir::rename(const fs::path& to) {
  TRY(rename_path(path_, to));
  path_ = to;
  return {};
}

fs::path TempDir::release() { return std::exchange(path_, {}); }

Result<FileLock> FileLock::try_acquire(const fs::path& path) {
  FileLock lock;
  lock.fd_ = Descriptor(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (lock.fd_.get() < 0) {
    return fail_errno(errno, path.string(), "open lock");
  }
  std::ignore = ::fchmod(lock.fd_.get(), 0600);  // earlier versions made it for all to read
  if (::flock(lock.fd_.get(), LOCK_EX | LOCK_NB) == 0) {
    return lock;
  }
  if (errno == EWOULDBLOCK) {
    return fail(Code::busy, path.string(), "another process holds the lock", "wait until it ends");
  }
  return fail_errno(errno, path.string(), "lock");
}

// Looks again and again: a wait inside flock would miss an interrupt that comes just before it.
Result<FileLock> FileLock::acquire(const fs::path& path, double seconds) {
  constexpr int milliseconds = 50;
  const double end = now_seconds() + seconds;
  for (;;) {
    auto lock = try_acquire(path);
    if (lock || lock.error().code != Code::busy || now_seconds() >= end) {
      return lock;
    }
    if (interrupted()) {
      return fail_errno(EINTR, path.string(), "lock");
    }
    ::poll(nullptr, 0, milliseconds);
  }
}

namespace {

constexpr const char* alive_name = ".alive";

// Removes the directories of this user whose owners are dead: their locks can be had. Others may
// have put directories and links of such names into a temporary directory that all can write to.
void remove_dead(const fs::path& parent, const std::string& start) {
  std::error_code ec;
  std::vector<fs::path> dead;
  for (fs::directory_iterator at(parent, ec), end; !ec && at != end; at.increment(ec)) {
    struct stat seen {};
    if (at->path().filename().string().starts_with(start) &&
        ::lstat(at->path().c_str(), &seen) == 0 && S_ISDIR(seen.st_mode) &&
        seen.st_uid == ::geteuid() && FileLock::try_acquire(at->path() / alive_name)) {
      dead.push_back(at->path());
    }
  }
  for (const fs::path& path : dead) {
    fs::remove_all(path, ec);
  }
}

}  // namespace

Result<WorkDir> WorkDir::create(const fs::path& parent, std::string_view prefix) {
  TRY(make_directories(parent));
  remove_dead(parent, fmt::format("{}.", prefix));
  // It gets its name once it is locked, so that nobody takes it for a dead one's before.
  WorkDir work;
  work.directory_ = TRY(TempDir::create(parent, fmt::format(".{}", prefix)));
  work.alive_ = TRY(FileLock::try_acquire(work.path() / alive_name));
  TRY(work.directory_.rename(parent / work.path().filename().string().substr(1)));
  return work;
}

}  // namespace suture
