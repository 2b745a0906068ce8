// SPDX-License-Identifier: GPL-2.0-or-later
#include "prove/author.h"

namespace suture::prove {

namespace {

constexpr std::string_view record_prefix = ".suture.";
constexpr std::uint64_t pointer = 8;
constexpr std::uint64_t state_size = 16;
constexpr std::uint64_t text = 128;

std::unexpected<Error> wrong_record(const std::string& section) {
  return fail(Code::proof_failed, section, "it is not as suture.h makes it",
              "report this with the diff");
}

Status read_callback(const Object& post, std::uint32_t section, AuthorsWord& out) {
  const elf::Section& from = post.elf().sections()[section];
  const auto fields = TRY(post.fields(section, 0, from.size));
  if (from.size != pointer || fields.size() != 1 || fields[0].target.part < 0 ||
      fields[0].target.offset != 0) {
    return wrong_record(from.name);
  }
  out.callbacks.emplace_back(from.name.substr(record_prefix.size()), fields[0].target.part);
  return {};
}

Status read_states(const elf::Section& from, AuthorsWord& out) {
  for (std::uint64_t at = 0; at < from.data.size(); at += state_size) {
    const auto id = read_le<std::uint64_t>(from.data, at);
    const auto version = read_le<std::uint32_t>(from.data, at + pointer);
    if (!id || !version) {
      return wrong_record(from.name);
    }
    out.states.emplace_back(*id, *version);
  }
  return {};
}

Status read_words(const elf::Section& from, std::vector<std::pair<std::string, std::string>>& out) {
  for (std::uint64_t at = 0; at < from.data.size(); at += 2 * text) {
    const auto name = read_cstr(from.data, at);
    const auto reason = read_cstr(from.data, at + text);
    if (!name || !reason || name->size() >= text || reason->size() >= text) {
      return wrong_record(from.name);
    }
    out.emplace_back(*name, *reason);
  }
  return {};
}

}  // namespace

Result<AuthorsWord> read_authors_word(const Object& post) {
  AuthorsWord out;
  const auto& sections = post.elf().sections();
  for (std::uint32_t i = 0; i < sections.size(); ++i) {
    const std::string& name = sections[i].name;
    if (name == ".suture.states") {
      TRY(read_states(sections[i], out));
    } else if (name == ".suture.ignored") {
      TRY(read_words(sections[i], out.ignored));
    } else if (name == ".suture.taken_back") {
      TRY(read_words(sections[i], out.taken_back));
    } else if (name.starts_with(record_prefix)) {
      TRY(read_callback(post, i, out));
    }
  }
  return out;
}

}  // namespace suture::prove
