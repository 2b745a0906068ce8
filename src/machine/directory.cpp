// SPDX-License-Identifier: GPL-2.0-or-later
#include "machine/directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <memory>
#include <utility>

namespace suture::machine {

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
  return at(Descriptor(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)));
}

std::optional<Directory> Directory::sub(const std::string& name) const {
  return at(Descriptor(::openat(fd_.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)));
}

std::optional<Directory> Directory::at(Descriptor fd) {
  return fd.get() < 0 ? std::nullopt : std::optional(Directory(std::move(fd)));
}

std::optional<std::string> Directory::read(const std::string& name) const {
  const Descriptor fd(::openat(fd_.get(), name.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (fd.get() < 0) {
    return std::nullopt;
  }
  std::string text;
  char buffer[4096];
  ssize_t got = 0;
  do {
    got = ::read(fd.get(), buffer, sizeof(buffer));
    if (got > 0) {
      text.append(buffer, static_cast<std::size_t>(got));
    }
  } while (got > 0 || (got < 0 && errno == EINTR));
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
  int copy = ::openat(fd_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const auto close = [](DIR* open) { ::closedir(open); };
  std::unique_ptr<DIR, decltype(close)> entries(copy < 0 ? nullptr : ::fdopendir(copy), close);
  while (const dirent* entry = entries ? ::readdir(entries.get()) : nullptr) {
    const std::string name = entry->d_name;
    if (name != "." && name != ".." && is_directory(fd_.get(), *entry)) {
      names.push_back(name);
    }
  }
  std::ranges::sort(names);
  return names;
}

}  // namespace suture::machine
