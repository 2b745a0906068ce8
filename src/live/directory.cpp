// SPDX-License-Identifier: GPL-2.0-or-later
#include "live/directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <memory>
#include <utility>

namespace suture::live {

namespace {

bool is_directory(int directory, const dirent& entry) {
  if (entry.d_type != DT_UNKNOWN && entry.d_type != DT_LNK) {
    return entry.d_type == DT_DIR;
  }
  struct stat about {};
  return ::fstatat(directory, entry.d_name, &about, 0) == 0 && S_ISDIR(about.st_mode);
}

}  // namespace

std::optional<Directory> Directory::open(const fs::path& path) {
  int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  return fd < 0 ? std::nullopt : std::optional(Directory(fd));
}

std::optional<Directory> Directory::sub(const std::string& name) const {
  int fd = ::openat(fd_, name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  return fd < 0 ? std::nullopt : std::optional(Directory(fd));
}

Directory::Directory(Directory&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

Directory& Directory::operator=(Directory&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

Directory::~Directory() {
  if (fd_ >= 0) {
    ::close(fd_);
  }
}

std::optional<std::string> Directory::read(const std::string& name) const {
  int fd = ::openat(fd_, name.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    return std::nullopt;
  }
  std::string text;
  char buffer[4096];
  ssize_t got = 0;
  do {
    got = ::read(fd, buffer, sizeof(buffer));
    if (got > 0) {
      text.append(buffer, static_cast<std::size_t>(got));
    }
  } while (got > 0 || (got < 0 && errno == EINTR));
  ::close(fd);
  return got < 0 ? std::nullopt : std::optional(std::move(text));
}

std::optional<std::string> Directory::line(const std::string& name) const {
  std::optional<std::string> text = read(name);
  if (text) {
    text->resize(std::min(text->find('\n'), text->size()));
  }
  return text;
}

std::optional<long> Directory::number(const std::string& name) const {
  std::optional<std::string> text = line(name);
  long value = 0;
  if (!text ||
      std::from_chars(text->data(), text->data() + text->size(), value).ec != std::errc{}) {
    return std::nullopt;
  }
  return value;
}

std::vector<std::string> Directory::directories() const {
  std::vector<std::string> names;
  int copy = ::openat(fd_, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const auto close = [](DIR* open) { ::closedir(open); };
  std::unique_ptr<DIR, decltype(close)> entries(copy < 0 ? nullptr : ::fdopendir(copy), close);
  while (const dirent* entry = entries ? ::readdir(entries.get()) : nullptr) {
    const std::string name = entry->d_name;
    if (name != "." && name != ".." && is_directory(fd_, *entry)) {
      names.push_back(name);
    }
  }
  std::ranges::sort(names);
  return names;
}

}  // namespace suture::live
