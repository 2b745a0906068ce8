// SPDX-License-Identifier: GPL-2.0-or-later
#include "patch/intake.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "patch/author.h"
#include "source/diff_files.h"

namespace suture::patch {

namespace {

// The name of a vulnerability that the text starts with; empty where it starts with none.
std::string_view cve_at(std::string_view text) {
  auto digits = [&](std::size_t at) {
    std::size_t end = at;
    while (end < text.size() && text[end] >= '0' && text[end] <= '9') {
      ++end;
    }
    return end - at;
  };
  const bool fits = text.starts_with("CVE-") && digits(4) == 4 && text.size() > 8 &&
                    text[8] == '-' && digits(9) >= 4;
  return fits ? text.substr(0, 9 + digits(9)) : std::string_view{};
}

void collect_cves(std::string_view text, std::set<std::string>& cves) {
  for (std::size_t at = text.find("CVE-"); at != std::string_view::npos;
       at = text.find("CVE-", at + 4)) {
    if (std::string_view id = cve_at(text.substr(at)); !id.empty()) {
      cves.emplace(id);
    }
  }
}

// The Subject of a mail, else the first line.
std::string subject(std::string_view text) {
  std::size_t at = text.find("Subject: ");
  if (at != std::string_view::npos && (at == 0 || text[at - 1] == '\n')) {
    text.remove_prefix(at + 9);
  }
  std::string line(text.substr(0, text.find('\n')));
  if (line.starts_with("[") && line.find("] ") != std::string::npos) {
    line.erase(0, line.find("] ") + 2);
  }
  return line.starts_with("diff ") || line.starts_with("Index:") ? std::string{} : line;
}

// What the diffs of a path are called, without the endings that say what it is.
std::string name_of(fs::path path) {
  if (!path.has_filename()) {
    path = path.parent_path();  // a directory with a '/' behind it
  }
  if (path.filename() == "series" && path.parent_path().has_filename()) {
    path = path.parent_path();
  }
  for (std::string_view packed : {".gz", ".xz", ".zst", ".bz2", ".lzma", ".lz4", ".lzo"}) {
    if (path.extension() == packed) {
      path = path.stem();
      break;
    }
  }
  return path.stem().string();
}

// Module names are file names and C identifiers at once, and struct module has room for 55.
Result<std::string> module_name(const Request& request) {
  std::string name = request.name;
  if (name.empty()) {
    const std::string given = name_of(request.patches.at(0));
    name = given;
    for (char& c : name) {
      bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
      c = fine ? c : '_';
    }
    name = name.substr(0, 55);
    // Of '日本.patch' nothing would be left.
    if (name.find_first_not_of('_') == std::string::npos) {
      return fail(Code::usage, given, "no module can have the name of this diff",
                  "give the module a name of letters, digits and underscores: --name NAME");
    }
  }
  bool fine = !name.empty() && name.size() <= 55 &&
              name.find_first_not_of(
                  "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                  "0123456789_") == std::string::npos;
  if (!fine) {
    return fail(Code::usage, name, "a module's name is 1 to 55 letters, digits and underscores",
                "give another name: --name NAME");
  }
  return name;
}

// What the kernel is not made of is left out before it is looked at closer: it may be of any form.
std::vector<std::string> leave_out_other_files(std::vector<source::Patch>& patches) {
  std::set<std::string> out;
  for (source::Patch& patch : patches) {
    std::erase_if(patch.files, [&](const source::FilePatch& file) {
      const bool other = is_not_code(file.path) && (file.from.empty() || is_not_code(file.from));
      if (other) {
        out.insert(file.path);
      }
      return other;
    });
  }
  return {out.begin(), out.end()};
}

// How many lines the texts have in common, in hundredths of the longer one.
std::size_t likeness(std::string_view one, std::string_view other) {
  auto lines = [](std::string_view text) {
    std::multiset<std::string_view> out;
    while (!text.empty()) {
      std::string_view line = text.substr(0, text.find('\n'));
      text.remove_prefix(std::min(text.size(), line.size() + 1));
      out.insert(line);
    }
    return out;
  };
  const auto first = lines(one);
  const auto second = lines(other);
  std::vector<std::string_view> common;
  std::ranges::set_intersection(first, second, std::back_inserter(common));
  const std::size_t most = std::max(first.size(), second.size());
  return most == 0 ? 0 : common.size() * 100 / most;
}

// Without git's headers a rename is a deletion and a new file.
Status refuse_renames(const std::vector<source::ChangedFile>& files) {
  for (const source::ChangedFile& gone : files) {
    for (const source::ChangedFile& made : files) {
      if (gone.deletes && made.creates && likeness(gone.before, made.after) >= 50) {
        return fail(
            Code::unsupported_file, gone.path, fmt::format("the diff renames it to {}", made.path),
            "the running kernel was built from the old name: make the change there, without "
            "the rename");
      }
    }
  }
  return {};
}

std::unexpected<Error> touches_nothing(const Request& request,
                                       const std::vector<std::string>& left_out) {
  std::string reason = "the diff touches no code of the kernel";
  if (left_out.empty()) {
    reason = "the diffs leave every file as it is";
  } else if (left_out.size() == 1) {
    reason += fmt::format(", only {}", left_out.front());
  } else {
    reason += fmt::format(", only {} and {} more", left_out.front(), left_out.size() - 1);
  }
  return fail(Code::no_change, request.patches[0].string(), std::move(reason),
              "give a diff that changes .c files or headers of the kernel");
}

// Reads all diffs of the request, and says of each in the metadata that it is one of them.
Result<std::vector<source::Patch>> read_patches(const Request& request, Intake& out,
                                                std::set<std::string>& cves) {
  std::vector<source::Patch> patches;
  for (const fs::path& path : request.patches) {
    source::DiffTexts texts = TRY(source::read_diffs(path));
    std::ranges::move(texts.notes, std::back_inserter(out.notes));
    for (const source::DiffText& diff : texts.diffs) {
      const auto strip = request.strip ? request.strip : diff.strip;
      source::Patch patch =
          TRY(source::parse_for_tree(diff, request.kernel.source, strip, out.notes));
      out.metadata.diffs.push_back({patch.sha256, fs::path(diff.name).filename().string()});
      collect_cves(patch.description, cves);
      if (out.metadata.description.empty()) {
        out.metadata.description = subject(patch.description);
      }
      patches.push_back(std::move(patch));
    }
  }
  return patches;
}

}  // namespace

bool is_cve(std::string_view text) { return !text.empty() && cve_at(text) == text; }

Result<Intake> take_in(const Request& request, const kernel::Units& units) {
  Intake out;
  module::Metadata& metadata = out.metadata;
  for (const std::string& cve : request.cves) {
    if (!is_cve(cve)) {
      return fail(Code::usage, cve, "it is no CVE", "give it as CVE-YEAR-NUMBER: CVE-2026-1234");
    }
  }
  std::set<std::string> cves(request.cves.begin(), request.cves.end());
  std::vector<source::Patch> patches = TRY(read_patches(request, out, cves));
  metadata.cves.assign(cves.begin(), cves.end());
  if (!request.description.empty()) {
    metadata.description = request.description;
  }
  metadata.name = TRY(module_name(request));
  metadata.version = request.version.empty() ? "1" : request.version;
  metadata.release = request.kernel.release;
  metadata.core = request.core;
  metadata.replace = request.replace;
  metadata.tool = request.tool_version;
  metadata.states = request.states;
  const std::vector<std::string> left_out = leave_out_other_files(patches);
  source::Applied applied = TRY(source::apply(patches, request.kernel.source, request.fuzz));
  out.files = std::move(applied.files);
  std::ranges::move(applied.notes, std::back_inserter(out.notes));
  TRY(check_files(request.ignored, out.files));
  TRY(refuse_renames(out.files));
  out.touched = TRY(touched_units(out.files, units, request.kernel.source));
  std::ranges::copy(left_out, std::back_inserter(out.touched.ignored));
  if (out.touched.sources.empty() && out.touched.headers.empty()) {
    return touches_nothing(request, left_out);
  }
  return out;
}

}  // namespace suture::patch
