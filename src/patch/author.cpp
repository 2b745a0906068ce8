// SPDX-License-Identifier: GPL-2.0-or-later
#include "patch/author.h"

#include <fmt/format.h>

#include <algorithm>

#include "module/kmod_sources.h"

namespace suture::patch {

Result<diff::Directives> directives_of(const diff::PieceGraph& post, const std::string& source,
                                       const std::vector<module::Ignored>& manifest) {
  auto read = diff::read_directives(post);
  if (!read) {
    Error error = read.error();
    error.where = fmt::format("{}: {}", source, error.where);
    return std::unexpected(std::move(error));
  }
  for (const module::Ignored& ignored : manifest) {
    if (ignored.source == source) {
      read->ignored.push_back({ignored.name, ignored.reason});
    }
  }
  return read;
}

Status join(const diff::Directives& directives, const std::string& source,
            module::Metadata& metadata) {
  for (const diff::Directives::State& state : directives.states) {
    auto known = std::ranges::find(metadata.states, state.id, &module::SystemState::id);
    if (known == metadata.states.end()) {
      metadata.states.push_back({.id = state.id, .version = state.version});
    } else if (known->version != state.version) {
      return fail(Code::bad_manifest, source,
                  fmt::format("the system state {} has the version {} here and {} elsewhere",
                              state.id, state.version, known->version),
                  "give one version of each state");
    }
  }
  for (const diff::Directives::Ignored& ignored : directives.ignored) {
    metadata.ignored.push_back({.source = source, .name = ignored.name, .reason = ignored.reason});
  }
  for (const diff::Directives::Ignored& word : directives.taken_back) {
    metadata.taken_back.push_back({.source = source, .name = word.name, .reason = word.reason});
  }
  return {};
}

Status check_files(const std::vector<module::Ignored>& manifest,
                   const std::vector<source::ChangedFile>& files) {
  for (const module::Ignored& ignored : manifest) {
    if (std::ranges::find(files, ignored.source, &source::ChangedFile::path) == files.end()) {
      return fail(
          Code::bad_manifest, ignored.source,
          fmt::format("{} is to be ignored there, and no diff changes that file", ignored.name),
          "take the entry out of the manifest");
    }
  }
  return {};
}

std::vector<source::ChangedFile> author_headers(module::Core core) {
  const std::string_view core_line =
      core == module::Core::suture ? "#define SUTURE_CORE 1\n" : "#define SUTURE_CORE 0\n";
  std::vector<source::ChangedFile> out;
  auto add = [&](std::string_view name, std::string_view first) {
    const std::string text =
        fmt::format("{}{}", first, module::kmod_source(fmt::format("include/{}", name)));
    out.push_back({.path = fmt::format("include/{}", name),
                   .before = {},
                   .after = text,
                   .after_synced = text,
                   .creates = true});
  };
  add("suture.h", core_line);
  if (core == module::Core::suture) {
    add("suture_patch.h", "");
  }
  return out;
}

}  // namespace suture::patch
