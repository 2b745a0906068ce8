// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: a header may be included by thousands of files, and only those that use what changes in
// it are changed.
//
// Method: what changes has a name, and so has every macro or inline function that uses it; from the
// changed names on, every header is searched for what names one of them, until nothing is added. A
// source sees the change if it names one of them outside of a macro, or a macro of its own that
// does.
//
// Invariant: a source is only named where its preprocessed text is another one for sure. A name
// that several headers define, a place that the configuration does not decide and a changed type
// lead nowhere, and are told of as unseen.
#include "prove/reach.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>

namespace suture::prove {

namespace {

// A change that names more is not one that is followed by names.
constexpr std::size_t most_names = 200;

struct Key {
  ItemKind kind;
  std::string_view name;
  bool certain;
  auto operator<=>(const Key&) const = default;
};
using Bag = std::map<Key, std::multiset<std::string>>;

bool is_prototype(const Item& item) {
  return item.kind == ItemKind::other && item.text.contains('(') && !item.text.contains('{') &&
         !item.text.contains('=') && !item.text.starts_with("typedef");
}

Bag bag_of(const FileText& text) {
  Bag out;
  for (const Item& item : text.items) {
    if (!is_prototype(item)) {
      out[{item.kind, item.name, item.certain}].insert(tokens_of(item.text));
    }
  }
  return out;
}

// Whether a macro takes arguments: a bracket follows its name at once.
bool takes_arguments(const Item& macro) {
  const auto end = static_cast<std::size_t>(macro.name.end() - macro.text.begin());
  return end < macro.text.size() && macro.text[end] == '(';
}

// In one pass, however many names there are: few words share a first letter and a length with one.
bool mentions_any(std::string_view text, const Names& names) {
  std::array<std::uint64_t, 256> lengths{};
  auto bit = [](std::size_t length) {
    return std::uint64_t{1} << std::min<std::size_t>(length, 63);
  };
  for (const std::string& name : names) {
    lengths[static_cast<unsigned char>(name[0])] |= bit(name.size());
  }
  for (std::size_t at = 0; at < text.size();) {
    std::size_t end = at;
    while (end < text.size() &&
           (std::isalnum(static_cast<unsigned char>(text[end])) != 0 || text[end] == '_')) {
      ++end;
    }
    if ((lengths[static_cast<unsigned char>(text[at])] & bit(end - at)) != 0 &&
        names.contains(text.substr(at, end - at))) {
      return true;
    }
    at = end + 1;
  }
  return false;
}

bool is_header(std::string_view path) { return path.ends_with(".h"); }

}  // namespace

Difference difference_of(const FileText& before, const FileText& after) {
  Difference out;
  Bag a = bag_of(before);
  Bag b = bag_of(after);
  for (const Bag* bag : {&a, &b}) {
    for (const auto& [key, texts] : *bag) {
      const auto x = a.find(key);
      const auto y = b.find(key);
      if (x != a.end() && y != b.end() && x->second == y->second) {
        continue;
      }
      if (!key.certain || key.kind == ItemKind::other) {
        out.rest = true;
      } else if (key.kind == ItemKind::function) {
        out.functions.emplace(key.name);
      } else {
        out.macros.emplace(key.name);
      }
    }
  }
  auto included = [](const FileText& text) {
    std::multiset<std::string_view> all;
    for (const Inclusion& one : text.includes) {
      all.insert(one.spelled);
    }
    return all;
  };
  out.rest = out.rest || included(before) != included(after);
  for (const FileText* text : {&before, &after}) {
    for (const Item& item : text->items) {
      if (item.kind == ItemKind::macro && takes_arguments(item) && out.macros.contains(item.name)) {
        out.called.emplace(item.name);
      }
    }
  }
  return out;
}

Reach::Reach(const Scope& scope, const std::string& header, const Difference& difference)
    : scope_(scope), called_(difference.called) {
  if (difference.rest) {
    unseen_.push_back(fmt::format(
        "who sees the types, variables, includes or conditional parts that change in {}", header));
  }
  Names names = difference.macros;
  names.insert(difference.functions.begin(), difference.functions.end());
  if (names.empty()) {
    return;
  }
  read_headers(header);
  follow(std::move(names));
}

// Those that may include the changed one, and any of the same names, by which one might be taken
// for another. What every file may see may also be used by what every file sees.
void Reach::read_headers(const std::string& header) {
  std::set<std::string_view> wanted;
  std::set<std::string_view> last_names{last_name(header)};
  for (const std::uint32_t carrier : scope_.index->carriers(header)) {
    const std::string_view path = scope_.index->path(carrier);
    if (is_header(path)) {
      wanted.insert(path);
      last_names.insert(last_name(path));
    }
  }
  for (std::uint32_t i = 0; i < scope_.index->size(); ++i) {
    const std::string_view path = scope_.index->path(i);
    if (is_header(path) && (path.starts_with("include/") ||
                            (path.starts_with("arch/") && path.contains("/include/")) ||
                            last_names.contains(last_name(path)))) {
      wanted.insert(path);
    }
  }
  for (const std::string_view path : wanted) {
    auto changed = std::ranges::find(scope_.files, path, &Scope::File::path);
    auto text = changed != scope_.files.end() ? Result<std::string>(changed->before)
                                              : read_text(scope_.tree / path);
    if (text) {
      headers_.push_back(Header{std::string(path), std::move(*text)});
    }
  }
}

void Reach::follow(Names names) {
  while (!names.empty()) {
    // What each of them is defined by, and what names it.
    std::map<std::string, std::set<std::string>, std::less<>> definers;
    std::map<std::string, std::pair<std::string, ItemKind>, std::less<>> users;
    for (const Header& header : headers_) {
      if (!mentions_any(header.text, names)) {
        continue;
      }
      for (const Item& item : read_c(header.text, scope_.configuration).items) {
        if (item.kind == ItemKind::other || item.name.empty()) {
          continue;
        }
        if (names.contains(item.name)) {
          definers[std::string(item.name)].insert(header.path);
          if (item.kind == ItemKind::function) {
            users.emplace(item.name, std::pair(header.path, item.kind));
          }
        }
        if (names_any(item, names)) {
          if (users.emplace(item.name, std::pair(header.path, item.kind)).second &&
              item.kind == ItemKind::macro && takes_arguments(item)) {
            called_.emplace(item.name);
          }
        }
      }
    }
    Names taken;
    for (const std::string& name : names) {
      const auto found = definers.find(name);
      if (found != definers.end() && found->second.size() > 1) {
        unseen_.push_back(
            fmt::format("who uses {}, which {} headers define", name, found->second.size()));
      } else {
        taken.insert(name);
      }
    }
    names_.insert(taken.begin(), taken.end());
    Names next;
    for (const auto& [user, where] : users) {
      const bool own = taken.contains(user);
      if (where.second == ItemKind::function && (own || !names_.contains(user)) &&
          !scope_.index->defined_beside(user, std::vector{where.first})) {
        functions_.push_back(user);
      }
      if (!own && !names_.contains(user) && !names.contains(user)) {
        next.insert(user);
      }
    }
    if (names_.size() + next.size() > most_names) {
      unseen_.push_back(fmt::format(
          "who uses {} further macros and functions that use what changes", next.size()));
      break;
    }
    names = std::move(next);
  }
  std::ranges::sort(functions_);
  functions_.erase(std::ranges::unique(functions_).begin(), functions_.end());
}

bool Reach::names_any(const Item& item, const Names& names) const {
  bool found = false;
  each_identifier(item.text, scope_.configuration,
                  [&](std::string_view name, bool certain, bool called) {
                    found = found || (certain && name != item.name && names.contains(name) &&
                                      (called || !called_.contains(name)));
                  });
  return found && item.certain;
}

bool Reach::may_change(std::string_view text) const { return mentions_any(text, names_); }

bool Reach::changes(const FileText& source) const {
  Names names = names_;
  for (const Item& item : source.items) {
    // What the file defines for itself is not the header's.
    if (item.kind == ItemKind::macro) {
      names.erase(std::string(item.name));
    }
  }
  for (bool more = true; more;) {
    more = false;
    for (const Item& item : source.items) {
      if (names.contains(item.name) || !names_any(item, names)) {
        continue;
      }
      if (item.kind != ItemKind::macro) {
        return true;
      }
      more = names.emplace(item.name).second || more;
    }
  }
  return false;
}

}  // namespace suture::prove
