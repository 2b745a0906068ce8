// SPDX-License-Identifier: GPL-2.0-or-later
#include "build/intake.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "build/author.h"

namespace suture::build {

namespace {

void collect_cves(std::string_view text, std::set<std::string>& cves) {
  for (std::size_t at = text.find("CVE-"); at != std::string_view::npos;
       at = text.find("CVE-", at + 4)) {
    std::size_t end = at + 4;
    while (end < text.size() && ((text[end] >= '0' && text[end] <= '9') || text[end] == '-')) {
      ++end;
    }
    std::string_view id = text.substr(at, end - at);
    if (id.size() >= 13 && id[8] == '-') {
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

// Module names are file names and C identifiers at once, and struct module has room for 55.
Result<std::string> module_name(const Request& request) {
  std::string name = request.name;
  if (name.empty()) {
    name = request.patches.at(0).stem().string();
    for (char& c : name) {
      bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
      c = fine ? c : '_';
    }
    name = name.substr(0, 55);
  }
  bool fine = !name.empty() && name.size() <= 55 &&
              name.find_first_not_of(
                  "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                  "0123456789_") == std::string::npos;
  if (!fine) {
    return fail(Code::usage, name, "a module's name is 1 to 55 letters, digits and underscores",
                "give another name with -n");
  }
  return name;
}

}  // namespace

Result<Intake> take_in(const Request& request, const kernel::Units& units) {
  Intake out;
  module::Metadata& metadata = out.metadata;
  std::vector<source::Patch> patches;
  std::set<std::string> cves(request.cves.begin(), request.cves.end());
  for (const fs::path& path : request.patches) {
    std::string text = TRY(read_text(path));
    source::Patch patch = TRY(source::parse_patch(text, path.string()));
    metadata.diffs.push_back({patch.sha256, path.filename().string()});
    collect_cves(patch.description, cves);
    if (metadata.description.empty()) {
      metadata.description = subject(patch.description);
    }
    patches.push_back(std::move(patch));
  }
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
  out.files = TRY(source::apply(patches, request.kernel.source));
  TRY(check_files(request.ignored, out.files));
  out.touched = TRY(touched_units(out.files, units, request.kernel.source));
  if (out.touched.sources.empty() && out.touched.headers.empty()) {
    return fail(Code::no_change, request.patches[0].string(),
                "the diff touches no code of the kernel",
                "give a diff that changes .c files or headers of the kernel");
  }
  return out;
}

}  // namespace suture::build
