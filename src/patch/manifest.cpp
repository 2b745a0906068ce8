// SPDX-License-Identifier: GPL-2.0-or-later
#include "patch/manifest.h"

#include <fmt/format.h>

#include <toml++/toml.h>

#include <algorithm>
#include <limits>

#include "patch/intake.h"

namespace suture::patch {

namespace {

class Reader {
 public:
  Reader(const std::string& where, const fs::path& directory)
      : where_(where), directory_(directory) {}

  Result<Manifest> run(std::string_view text) {
    toml::table all;
    try {  // the packaged library throws
      all = toml::parse(text);
    } catch (const toml::parse_error& error) {
      return wrong(error.source(), std::string(error.description()));
    }
    TRY(known_keys(all, {"diffs", "patch", "state", "ignore"}));
    std::vector<std::string> diffs;
    TRY(texts(all, "diffs", diffs));
    for (const std::string& diff : diffs) {
      out_.diffs.push_back(directory_ / diff);
    }
    if (const toml::node* patch = all.get("patch")) {
      TRY(read_patch(*patch));
    }
    TRY(each(all, "state", [&](const toml::table& entry) { return read_state(entry); }));
    TRY(each(all, "ignore", [&](const toml::table& entry) { return read_ignored(entry); }));
    return std::move(out_);
  }

 private:
  std::unexpected<Error> wrong(const toml::source_region& at, std::string reason) const {
    return fail(Code::bad_manifest, at.begin ? fmt::format("{}:{}", where_, at.begin.line) : where_,
                std::move(reason), "correct the manifest; docs/patch-author-guide.md shows one");
  }

  Status known_keys(const toml::table& table, std::initializer_list<std::string_view> known) const {
    for (const auto& [key, value] : table) {
      if (std::ranges::find(known, key.str()) == known.end()) {
        return wrong(key.source(), fmt::format("'{}' is no key that is known there", key.str()));
      }
    }
    return {};
  }

  // What is absent stays as it is.
  Status text(const toml::table& table, std::string_view key,
              std::optional<std::string>& out) const {
    const toml::node* node = table.get(key);
    if (node == nullptr) {
      return {};
    }
    out = node->value_exact<std::string>();
    // It becomes a line of the module's own description.
    if (!out || out->empty() ||
        std::ranges::any_of(*out, [](char c) { return static_cast<unsigned char>(c) < 0x20; })) {
      return wrong(node->source(), fmt::format("'{}' is one line of text", key));
    }
    return {};
  }

  Status texts(const toml::table& table, std::string_view key,
               std::vector<std::string>& out) const {
    const toml::node* node = table.get(key);
    if (node == nullptr) {
      return {};
    }
    const toml::array* list = node->as_array();
    if (list == nullptr) {
      return wrong(node->source(), fmt::format("'{}' is a list of texts", key));
    }
    for (const toml::node& item : *list) {
      auto one = item.value_exact<std::string>();
      if (!one || one->empty() || one->find_first_of(std::string_view("\n\0", 2)) != one->npos) {
        return wrong(item.source(), fmt::format("'{}' is a list of texts", key));
      }
      out.push_back(*one);
    }
    return {};
  }

  Result<std::string> required(const toml::table& table, std::string_view key) const {
    std::optional<std::string> out;
    TRY(text(table, key, out));
    if (!out) {
      return wrong(table.source(), fmt::format("'{}' is missing", key));
    }
    return *out;
  }

  template <class T>
  Result<T> number(const toml::table& table, std::string_view key, T least) const {
    const toml::node* node = table.get(key);
    auto value = node == nullptr ? std::nullopt : node->value_exact<std::int64_t>();
    if (!value || *value < static_cast<std::int64_t>(least) ||
        static_cast<std::uint64_t>(*value) > std::numeric_limits<T>::max()) {
      return wrong(node == nullptr ? table.source() : node->source(),
                   fmt::format("'{}' is a number from {} on", key, least));
    }
    return static_cast<T>(*value);
  }

  template <class Read>
  Status each(const toml::table& table, std::string_view key, const Read& read) const {
    const toml::node* node = table.get(key);
    if (node == nullptr) {
      return {};
    }
    const toml::array* list = node->as_array();
    if (list == nullptr) {
      return wrong(node->source(), fmt::format("write [[{}]]", key));
    }
    for (const toml::node& item : *list) {
      const toml::table* entry = item.as_table();
      if (entry == nullptr) {
        return wrong(item.source(), fmt::format("write [[{}]]", key));
      }
      TRY(read(*entry));
    }
    return {};
  }

  Status read_patch(const toml::node& node) {
    const toml::table* patch = node.as_table();
    if (patch == nullptr) {
      return wrong(node.source(), "write [patch]");
    }
    TRY(known_keys(*patch, {"name", "version", "description", "cves", "replace"}));
    TRY(text(*patch, "name", out_.name));
    TRY(text(*patch, "version", out_.version));
    TRY(text(*patch, "description", out_.description));
    TRY(texts(*patch, "cves", out_.cves));
    for (const std::string& cve : out_.cves) {
      if (!is_cve(cve)) {
        return wrong(patch->get("cves")->source(),
                     fmt::format("'{}' is no CVE: they are called like CVE-2026-1234", cve));
      }
    }
    if (const toml::node* replace = patch->get("replace")) {
      out_.replace = replace->value_exact<bool>();
      if (!out_.replace) {
        return wrong(replace->source(), "'replace' is true or false");
      }
    }
    return {};
  }

  Status read_state(const toml::table& entry) {
    TRY(known_keys(entry, {"id", "version"}));
    const auto id = TRY(number<std::uint64_t>(entry, "id", 1));
    const auto version = TRY(number<std::uint32_t>(entry, "version", 0));
    if (std::ranges::find(out_.states, id, &module::SystemState::id) != out_.states.end()) {
      return wrong(entry.source(), fmt::format("the state {} is there twice", id));
    }
    out_.states.push_back({.id = id, .version = version});
    return {};
  }

  Status read_ignored(const toml::table& entry) {
    TRY(known_keys(entry, {"file", "name", "reason"}));
    module::Ignored ignored{.source = TRY(required(entry, "file")),
                            .name = TRY(required(entry, "name")),
                            .reason = TRY(required(entry, "reason"))};
    if ((ignored.source + ignored.name).find(' ') != std::string::npos) {
      return wrong(entry.source(), "files and names of the kernel have no blanks");
    }
    out_.ignored.push_back(std::move(ignored));
    return {};
  }

  const std::string& where_;
  const fs::path& directory_;
  Manifest out_;
};

}  // namespace

Result<Manifest> parse_manifest(std::string_view text, const std::string& where,
                                const fs::path& directory) {
  return Reader(where, directory).run(text);
}

Result<Manifest> read_manifest(const fs::path& path) {
  const std::string text = TRY(read_text(path));
  return parse_manifest(text, path.string(), path.parent_path());
}

}  // namespace suture::patch
