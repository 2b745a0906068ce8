// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/initramfs.h"

#include <archive.h>
#include <archive_entry.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <memory>
#include <sstream>

#include "base/digest.h"
#include "base/process.h"
#include "vm/libraries.h"

namespace suture::vm {

namespace {

// Every dynamic linker looks here, whatever the distribution's own directories are.
constexpr std::string_view library_directory = "/lib/";

std::unexpected<Error> archive_failed(archive* writer, const fs::path& path) {
  const int err = archive_errno(writer);
  const char* text = archive_error_string(writer);
  if (err > 0) {
    return fail_errno(err, path.string(), "write the guest's file system");
  }
  return fail(Code::io, path.string(),
              fmt::format("write the guest's file system: {}", text == nullptr ? "?" : text),
              "check the temporary directory (TMPDIR) and run the command again");
}

}  // namespace

void Initramfs::put(const std::string& path, Entry entry) {
  const std::string relative = path.substr(1);
  for (std::size_t slash = relative.find('/'); slash != std::string::npos;
       slash = relative.find('/', slash + 1)) {
    entries_.try_emplace(relative.substr(0, slash));
  }
  entries_.insert_or_assign(relative, std::move(entry));
}

void Initramfs::add_directory(const std::string& path) { put(path, Entry{}); }

void Initramfs::add_link(const std::string& path, const std::string& target) {
  ByteView bytes = as_bytes(target);
  put(path, Entry{.kind = Kind::link, .mode = 0777, .content = Bytes(bytes.begin(), bytes.end())});
}

void Initramfs::add_bytes(const std::string& path, Bytes content, unsigned mode) {
  put(path, Entry{.kind = Kind::file, .mode = mode, .content = std::move(content)});
}

Status Initramfs::add_file(const std::string& path, const fs::path& source, unsigned mode) {
  add_bytes(path, TRY(read_bytes(source)), mode);
  return {};
}

Status Initramfs::add_program(const std::string& path, const fs::path& source) {
  NeededFiles needed = TRY(needed_files(source));
  TRY(add_file(path, source, 0755));
  if (!needed.interpreter.empty() && !contains(needed.interpreter)) {
    TRY(add_file(needed.interpreter, needed.interpreter, 0755));
  }
  for (const auto& [name, file] : needed.libraries) {
    const std::string target = std::string(library_directory) + name;
    if (!contains(target)) {
      TRY(add_file(target, file, 0755));
    }
  }
  return {};
}

Status Initramfs::add_script(const std::string& path, const fs::path& source) {
  Bytes content = TRY(read_bytes(source));
  std::string_view text = as_text(content);
  if (text.starts_with("\x7f"
                       "ELF")) {
    return add_program(path, source);
  }
  std::string interpreter;
  if (text.starts_with("#!")) {
    std::istringstream line(std::string(text.substr(2, text.find('\n') - 2)));
    line >> interpreter;
  }
  add_bytes(path, std::move(content), 0755);
  if (interpreter.starts_with('/') && !contains(interpreter)) {
    TRY(add_program(interpreter, interpreter));
  }
  return {};
}

Status Initramfs::add_busybox() {
  const fs::path busybox = TRY(find_program("busybox", "busybox-static"));
  TRY(add_program("/bin/busybox", busybox));
  Finished list = TRY(run_checked({.argv = {busybox.string(), "--list"}}, Code::missing_tool,
                                  busybox.string(), "apt-get install busybox-static"));
  std::istringstream names(list.out);
  for (std::string name; names >> name;) {
    for (const char* directory : {"/bin/", "/sbin/", "/usr/bin/"}) {
      if (!contains(directory + name)) {
        add_link(directory + name, "/bin/busybox");
      }
    }
  }
  return {};
}

std::uint64_t Initramfs::size() const {
  std::uint64_t bytes = 0;
  for (const auto& [name, entry] : entries_) {
    bytes += entry.content.size();
  }
  return bytes;
}

std::string Initramfs::sha256() const {
  Sha256 hash;
  for (const auto& [name, entry] : entries_) {
    hash.add(as_bytes(fmt::format("{}\n{} {:o} {}\n", name, static_cast<int>(entry.kind),
                                  entry.mode, entry.content.size())));
    hash.add(entry.content);
  }
  return hash.hex();
}

Status Initramfs::write(const fs::path& path) const {
  std::unique_ptr<archive, decltype(&archive_write_free)> writer(archive_write_new(),
                                                                 archive_write_free);
  std::unique_ptr<archive_entry, decltype(&archive_entry_free)> header(archive_entry_new(),
                                                                       archive_entry_free);
  if (!writer || !header || archive_write_set_format_cpio_newc(writer.get()) != ARCHIVE_OK ||
      archive_write_open_filename(writer.get(), path.c_str()) != ARCHIVE_OK) {
    return archive_failed(writer.get(), path);
  }
  for (const auto& [name, entry] : entries_) {
    archive_entry_clear(header.get());
    archive_entry_set_pathname(header.get(), name.c_str());
    archive_entry_set_perm(header.get(), entry.mode);
    archive_entry_set_nlink(header.get(), 1);
    archive_entry_set_size(header.get(), 0);
    if (entry.kind == Kind::directory) {
      archive_entry_set_filetype(header.get(), S_IFDIR);
    } else if (entry.kind == Kind::link) {
      archive_entry_set_filetype(header.get(), S_IFLNK);
      archive_entry_set_symlink(header.get(), std::string(as_text(entry.content)).c_str());
    } else {
      archive_entry_set_filetype(header.get(), S_IFREG);
      archive_entry_set_size(header.get(), static_cast<std::int64_t>(entry.content.size()));
    }
    if (archive_write_header(writer.get(), header.get()) != ARCHIVE_OK) {
      return archive_failed(writer.get(), path);
    }
    if (entry.kind == Kind::file &&
        archive_write_data(writer.get(), entry.content.data(), entry.content.size()) !=
            static_cast<la_ssize_t>(entry.content.size())) {
      return archive_failed(writer.get(), path);
    }
  }
  if (archive_write_close(writer.get()) != ARCHIVE_OK) {
    return archive_failed(writer.get(), path);
  }
  return {};
}

}  // namespace suture::vm
