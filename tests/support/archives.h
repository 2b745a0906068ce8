// SPDX-License-Identifier: GPL-2.0-or-later
//
// Makes archives, by libarchive.
#pragma once

#include <archive.h>
#include <archive_entry.h>

#include <string>
#include <vector>

namespace suture::test {

struct Entry {
  std::string name;
  std::string text;  // of a file; the target of a link
  mode_t type = AE_IFREG;
  bool hard_link = false;
};

// An archive of `entries` in libarchive's format and filter of those names.
inline std::string pack(const char* format, const char* filter, const std::vector<Entry>& entries) {
  std::string out(std::size_t{1} << 20, '\0');
  std::size_t used = 0;
  archive* a = archive_write_new();
  archive_write_set_format_by_name(a, format);
  if (filter != nullptr) {
    archive_write_add_filter_by_name(a, filter);
  }
  archive_write_open_memory(a, out.data(), out.size(), &used);
  for (const Entry& entry : entries) {
    archive_entry* header = archive_entry_new();
    archive_entry_set_pathname(header, entry.name.c_str());
    archive_entry_set_filetype(header, entry.type);
    archive_entry_set_perm(header, 0755);
    if (entry.hard_link) {
      archive_entry_set_hardlink(header, entry.text.c_str());
    } else if (entry.type == AE_IFLNK) {
      archive_entry_set_symlink(header, entry.text.c_str());
    } else {
      archive_entry_set_size(header, static_cast<la_int64_t>(entry.text.size()));
    }
    archive_write_header(a, header);
    if (entry.type == AE_IFREG && !entry.hard_link) {
      archive_write_data(a, entry.text.data(), entry.text.size());
    }
    archive_entry_free(header);
  }
  archive_write_close(a);
  archive_write_free(a);
  out.resize(used);
  return out;
}

}  // namespace suture::test
