// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: copy a program into a guest together with all that it needs to start.
// Method: breadth-first over DT_NEEDED; each library is searched in the asker's own DT_RUNPATH or
// DT_RPATH ($ORIGIN expanded), then in the default directories; a file of another machine is passed
// over, as the dynamic linker does.
// Invariant: every name is looked up once, so circular needs end.
#include "vm/libraries.h"

#include <elf.h>
#include <fmt/format.h>
#include <glob.h>

#include <deque>
#include <sstream>

#include "elf/object.h"

namespace suture::vm {

namespace {

struct Dynamic {
  std::vector<std::string> needed;
  std::vector<fs::path> run_path;
};

std::vector<fs::path> split_path(std::string_view text, const fs::path& origin) {
  std::vector<fs::path> out;
  while (!text.empty()) {
    std::string part(text.substr(0, text.find(':')));
    text.remove_prefix(std::min(text.size(), part.size() + 1));
    for (std::string_view token : {"${ORIGIN}", "$ORIGIN"}) {
      if (std::size_t at = part.find(token); at != std::string::npos) {
        part.replace(at, token.size(), origin.string());
      }
    }
    if (!part.empty()) {
      out.emplace_back(part);
    }
  }
  return out;
}

Dynamic read_dynamic(const elf::ObjectFile& object, const fs::path& file) {
  Dynamic out;
  const elf::Section* dynamic = object.section(".dynamic");
  if (dynamic == nullptr || dynamic->link >= object.sections().size()) {
    return out;
  }
  ByteView strings = object.sections()[dynamic->link].data;
  for (std::uint64_t at = 0; at + sizeof(Elf64_Dyn) <= dynamic->data.size();
       at += sizeof(Elf64_Dyn)) {
    auto tag = read_le<std::int64_t>(dynamic->data, at);
    auto value = read_le<std::uint64_t>(dynamic->data, at + 8);
    if (!tag || !value || *tag == DT_NULL) {
      break;
    }
    auto text = read_cstr(strings, *value);
    if (*tag == DT_NEEDED && text) {
      out.needed.emplace_back(*text);
    } else if ((*tag == DT_RUNPATH || *tag == DT_RPATH) && text) {
      out.run_path = split_path(*text, fs::absolute(file).parent_path());
    }
  }
  return out;
}

void read_linker_configuration(const fs::path& file, std::vector<fs::path>& out) {
  auto text = read_text(file);
  if (!text) {
    return;
  }
  std::istringstream lines(*text);
  for (std::string line; std::getline(lines, line);) {
    line = line.substr(0, line.find('#'));
    std::istringstream words(line);
    std::string first, second;
    words >> first >> second;
    if (first == "include" && !second.empty()) {
      glob_t found{};
      if (::glob(second.c_str(), 0, nullptr, &found) == 0) {
        for (std::size_t i = 0; i < found.gl_pathc; ++i) {
          read_linker_configuration(found.gl_pathv[i], out);
        }
      }
      ::globfree(&found);
    } else if (first.starts_with('/')) {
      out.emplace_back(first);
    }
  }
}

// The library's file in the first of the directories that has it for this machine.
std::optional<std::pair<fs::path, elf::ObjectFile>> find_library(
    const std::string& name, std::uint16_t machine, const std::vector<fs::path>& first,
    const std::vector<fs::path>& then) {
  for (const auto* directories : {&first, &then}) {
    for (const fs::path& directory : *directories) {
      std::error_code ec;
      fs::path file = directory / name;
      if (!fs::is_regular_file(file, ec)) {
        continue;
      }
      auto object = elf::ObjectFile::open(file);
      if (object && object->machine() == machine && object->file_type() == ET_DYN) {
        return std::pair(std::move(file), std::move(*object));
      }
    }
  }
  return std::nullopt;
}

}  // namespace

std::vector<fs::path> library_directories() {
  std::vector<fs::path> out;
  read_linker_configuration("/etc/ld.so.conf", out);
  for (const char* standard : {"/lib", "/usr/lib", "/lib64", "/usr/lib64"}) {
    out.emplace_back(standard);
  }
  return out;
}

Result<NeededFiles> needed_files(const fs::path& program,
                                 const std::vector<fs::path>& directories) {
  elf::ObjectFile object = TRY(elf::ObjectFile::open(program));
  NeededFiles out;
  if (const elf::Section* interpreter = object.section(".interp")) {
    out.interpreter = read_cstr(interpreter->data, 0).value_or("");
  }
  std::deque<Dynamic> todo{read_dynamic(object, program)};
  for (; !todo.empty(); todo.pop_front()) {
    const Dynamic& asker = todo.front();
    for (const std::string& name : asker.needed) {
      if (out.libraries.contains(name)) {
        continue;
      }
      auto found = find_library(name, object.machine(), asker.run_path, directories);
      if (!found) {
        return fail(
            Code::missing_tool, program.string(),
            fmt::format("it needs the shared library '{}', which is not on this machine", name),
            "install the package that has it (run ./setup)");
      }
      todo.push_back(read_dynamic(found->second, found->first));
      out.libraries.emplace(name, std::move(found->first));
    }
  }
  return out;
}

Result<NeededFiles> needed_files(const fs::path& program) {
  static const std::vector<fs::path> directories = library_directories();
  return needed_files(program, directories);
}

}  // namespace suture::vm
