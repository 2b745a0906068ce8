// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: a header that everybody includes changes, and a handful of units use what changes in it.
//
// Method: a closure over names. What differs between the header's two texts (c_text.h) defines
// names; whatever names one of these, in any file that a unit may include, has its own names
// affected, and so on. Members do not count as names: whoever comes to one has named the type, or
// what is declared with it, and so on to the first name of the expression. What is not inert, or
// could not be read for sure, affects whoever includes its file. In the end a unit may see a
// difference only if its own file holds an affected name, or if it includes such a file. A function
// means nothing to a type or a declaration that does not call it; but for that, scopes and types
// are left out: equal names count as the same. What the kernel's configuration excludes
// (configuration.h) is not looked at.
//
// Names can also come about: a macro may paste them (pasting.h), stand for a list of them, or be
// the name's own word. So for each affected name the macros that can make it are looked for at
// whatever gives them a part of it; a declaration or a type with a macro in it that could name
// something counts as not read for sure.
//
// Invariant: limits and doubts make the answer larger, never smaller. A unit that is no candidate
// has the same code on both sides: nothing of what differs for it is named by what it makes.
#include "source/reach.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <unordered_map>

#include "source/c_text.h"
#include "source/configuration.h"
#include "source/index_format.h"

namespace suture::source {

namespace {

constexpr std::size_t most_names = 3000;
constexpr std::size_t most_text = std::size_t{192} << 20;  // bytes that are cut up

// Which of a list of texts are not in the other, in their order.
struct Differences {
  std::vector<std::size_t> before, after;
};

Differences differences(const std::vector<Chunk>& before, const std::vector<Chunk>& after) {
  std::size_t first = 0, last = 0;
  const std::size_t least = std::min(before.size(), after.size());
  while (first < least && before[first].text == after[first].text) {
    ++first;
  }
  while (last < least - first &&
         before[before.size() - 1 - last].text == after[after.size() - 1 - last].text) {
    ++last;
  }
  const std::size_t rows = before.size() - first - last, columns = after.size() - first - last;
  Differences out;
  constexpr std::size_t most = 4'000'000;
  std::vector<std::uint32_t> common;  // of what is behind both, the longest list in both
  auto at = [&](std::size_t i, std::size_t k) -> std::uint32_t& {
    return common[i * (columns + 1) + k];
  };
  if (rows * columns <= most) {
    common.resize((rows + 1) * (columns + 1), 0);
    for (std::size_t i = rows; i-- > 0;) {
      for (std::size_t k = columns; k-- > 0;) {
        at(i, k) = before[first + i].text == after[first + k].text
                       ? at(i + 1, k + 1) + 1
                       : std::max(at(i + 1, k), at(i, k + 1));
      }
    }
  }
  std::size_t i = 0, k = 0;
  while (i < rows || k < columns) {
    bool same = !common.empty() && i < rows && k < columns &&
                before[first + i].text == after[first + k].text;
    if (same) {
      ++i;
      ++k;
    } else if (k == columns || (i < rows && (common.empty() || at(i + 1, k) >= at(i, k + 1)))) {
      out.before.push_back(first + i++);
    } else {
      out.after.push_back(first + k++);
    }
  }
  return out;
}

class Closure {
 public:
  Closure(const SourceIndex& index, const fs::path& tree, const std::vector<ChangedFile>& headers)
      : index_(index), tree_(tree), named_(index.file_count(), false) {
    open_configuration(headers);
    for (const ChangedFile& header : headers) {
      Changed& changed = changed_.emplace_back();
      changed.path = header.path;
      changed.number = index.number(header.path);
      changed.before = cut(header.before);
      changed.after = cut(header.after);
      changed.creates = header.creates;
      changed.whole = header.creates || header.deletes;
      for (const CText* text : {&changed.before, &changed.after}) {
        for (const Chunk& chunk : text->chunks) {
          new_names_.insert(chunk.uses.begin(), chunk.uses.end());
          new_names_.insert(chunk.defines.begin(), chunk.defines.end());
        }
      }
    }
  }

  Result<Reach> run() {
    Reach out;
    std::vector<std::string> paths;
    for (const Changed& changed : changed_) {
      // What is in the tree and in no index is included by no unit.
      if (changed.number != index_.file_count() || changed.creates) {
        paths.push_back(changed.path);
      }
      compare(changed);
    }
    out.users = index_.users(paths);
    visible_ = index_.files_of(out.users);
    for (const auto& [name, how] : affected_) {
      out.names.push_back(name);
    }
    std::ranges::sort(out.names);
    while (!fresh_.empty() && everything_.empty()) {
      TRY(round());
    }
    out.candidates = out.users;
    if (everything_.empty()) {
      choose(out.candidates);
    }
    out.text_differs = text_differs_;
    out.reason = everything_.empty() ? reason_ : everything_;
    return out;
  }

 private:
  struct Changed {
    std::string path;
    std::uint32_t number = 0;
    CText before, after;
    bool creates = false;
    bool whole = false;  // made or taken away
  };
  struct Affected {
    bool makes_names = false;  // it is a macro, and may stand for other names
    bool has_braces = false;   // it is a macro, and may stand for a type's definition
    bool function = false;     // it is a function, and nothing else
  };

  // A macro that pastes, and the files that name it.
  struct Caller {
    std::string_view macro;
    std::vector<std::uint32_t> files;
  };

  // What has to be given to a macro's call so that it makes an affected name: of each list one.
  using Given = std::vector<std::vector<std::string>>;

  // Where each unit gets the configuration before all else, and the diff leaves that as it is.
  void open_configuration(const std::vector<ChangedFile>& headers) {
    const bool in_each = std::ranges::all_of(index_.ways(), [](const IncludeWay& way) {
      return std::ranges::find(way.first, options_header) != way.first.end();
    });
    const bool changes = std::ranges::any_of(headers, [](const ChangedFile& header) {
      return header.path == options_header || header.path == configuration_header;
    });
    const auto text = read_text(tree_ / configuration_header);
    if (!in_each || changes || !text) {
      return;
    }
    std::set<std::string, std::less<>> set_by_diff;
    for (const ChangedFile& header : headers) {
      for (const std::string& side : {header.before, header.after}) {
        const std::string joined = joined_lines(side);
        Lexer lexer(joined);
        for (Token token = lexer.next(); token.kind != TokenKind::end; token = lexer.next()) {
          if (token.kind == TokenKind::directive) {
            set_by_diff.emplace(option_set_by(read_directive(token.text)));
          }
        }
      }
    }
    configuration_.emplace(*text, [this, set_by_diff](std::string_view name) {
      return set_by_diff.contains(name) || index_.is_option_set_by_hand(name);
    });
  }

  CText cut(std::string text) const {
    return cut_up(configuration_ ? configuration_->without_excluded_branches(std::move(text))
                                 : std::move(text));
  }

  void compare(const Changed& changed) {
    if (changed.whole) {
      open_up(changed.path, "it is made or taken away");
      return;
    }
    Differences differ = differences(changed.before.chunks, changed.after.chunks);
    bool broken = changed.before.broken || changed.after.broken;
    if (broken && (!differ.before.empty() || !differ.after.empty())) {
      open_up(changed.path, "its brackets do not pair in every branch of its conditions");
    }
    auto take = [&](const CText& text, const std::vector<std::size_t>& which) {
      for (std::size_t i : which) {
        mark(changed.path, changed.number, text.chunks[i]);
        const ChunkKind kind = text.chunks[i].kind;
        text_differs_ = text_differs_ || kind == ChunkKind::function || kind == ChunkKind::type ||
                        kind == ChunkKind::declaration;
      }
    };
    take(changed.before, differ.before);
    take(changed.after, differ.after);
  }

  void open_up(const std::string& path, const std::string& why) {
    if (open_.insert(path).second && reason_.empty()) {
      reason_ = fmt::format("every file that includes {} is looked at: {}", path, why);
    }
    if (std::ranges::all_of(changed_, [&](const Changed& c) { return open_.contains(c.path); })) {
      everything_ = reason_;
    }
  }

  void add_name(std::string_view name, Affected how) {
    auto [it, added] = affected_.emplace(name, how);
    Affected& now = it->second;
    if (!added && (now.makes_names || !how.makes_names) && (now.has_braces || !how.has_braces) &&
        (!now.function || how.function)) {
      return;
    }
    now.makes_names = now.makes_names || how.makes_names;
    now.has_braces = now.has_braces || how.has_braces;
    now.function = now.function && how.function;
    fresh_.emplace_back(name);
    if (is_keyword(name)) {
      everything_ = fmt::format("every file counts: '{}' is defined in another way", name);
    } else if (affected_.size() > most_names) {
      everything_ = fmt::format(
          "every file counts: more than {} names are affected, '{}' among "
          "them",
          most_names, name);
    }
  }

  // The chunk is another one, or means another thing.
  void mark(const std::string& path, std::uint32_t file, const Chunk& chunk) {
    auto words = [&] { return fmt::format("'{:.60}'", chunk.text); };
    bool part = file != index_.file_count() && index_.is_part(file);
    if (!chunk.inert) {
      open_up(path, fmt::format("{} is not only a definition", words()));
    } else if (part) {
      open_up(path, "it is included in the middle of a declaration");
    } else if (chunk.kind != ChunkKind::macro) {
      if (auto macro = macro_that_defines(chunk); !macro.empty()) {
        open_up(path, fmt::format("the macro {} may make names in {}", macro, words()));
      }
    }
    for (std::string_view name : chunk.defines) {
      const bool macro = chunk.kind == ChunkKind::macro;
      add_name(name, {.makes_names = macro && (makes_names(name) || defines_names(chunk)),
                      .has_braces = macro && (index_.is_brace_macro(name) || has_braces(chunk)),
                      .function = chunk.declares_function});
    }
  }

  // A macro in the chunk that may define there what its text does not show; empty where none may.
  std::string_view macro_that_defines(const Chunk& chunk) const {
    auto first = [](const std::vector<std::string_view>& names, const auto& fits) {
      auto it = std::ranges::find_if(names, fits);
      return it == names.end() ? std::string_view{} : *it;
    };
    auto affected = [&](std::string_view name, bool Affected::*what) {
      auto it = affected_.find(std::string(name));
      return it != affected_.end() && it->second.*what;
    };
    auto names = [&](std::string_view name) {
      return makes_names(name) || affected(name, &Affected::makes_names);
    };
    if (std::string_view macro = first(chunk.shapes, names); !macro.empty()) {
      return macro;
    }
    if (chunk.has_members) {
      return first(chunk.head, [&](std::string_view name) {
        return index_.is_brace_macro(name) || affected(name, &Affected::has_braces);
      });
    }
    return first(chunk.kind == ChunkKind::function ? chunk.head : chunk.uses,
                 [&](std::string_view name) { return affected(name, &Affected::makes_names); });
  }

  static bool defines_names(const Chunk& chunk) {
    return !chunk.macro.empty() && !read_macro(chunk.macro).names_nothing();
  }
  // What the macro stands for now, with what changed in it.
  bool has_braces(const Chunk& chunk) const {
    if (chunk.macro.empty()) {
      return false;
    }
    const Macro macro = read_macro(chunk.macro);
    return !macro.function_like &&
           (macro.may_hold_braces() || std::ranges::any_of(chunk.uses, [&](std::string_view name) {
              auto it = affected_.find(std::string(name));
              return index_.is_brace_macro(name) ||
                     (it != affected_.end() && it->second.has_braces);
            }));
  }
  bool makes_names(std::string_view name) const { return index_.is_naming_macro(name); }

  bool exists(std::string_view name) {
    auto it = exists_.find(name);
    if (it == exists_.end()) {
      bool known = new_names_.contains(name) || index_.exists(name);
      it = exists_.emplace(name, known).first;
    }
    return it->second;
  }

  // What the affected names of this round are named in, and so on.
  Status round() {
    std::set<std::uint32_t> files;
    auto visit = [&](std::uint32_t file) {
      if (!visible_[file]) {
        return;
      }
      named_[file] = true;
      if (index_.is_included(file)) {
        files.insert(file);
      }
    };
    for (const std::string& name : std::exchange(fresh_, {})) {
      for (std::uint32_t file : index_.files_naming(name)) {
        visit(file);
      }
      for (std::uint32_t file : add_conditions(name)) {
        visit(file);
      }
    }
    for (const Changed& changed : changed_) {
      files.erase(changed.number);
      spread(changed.path, changed.number, changed.before);
      spread(changed.path, changed.number, changed.after);
    }
    for (std::uint32_t file : files) {
      const std::string path = index_.path(file);
      if (open_.contains(path)) {
        continue;  // whoever includes it counts already, and nobody else sees what it defines
      }
      std::string text = TRY(read_text(tree_ / path));
      cut_ += text.size();
      if (cut_ > most_text) {
        everything_ = "every file counts: the affected names are in too many headers";
        return {};
      }
      spread(path, file, cut(std::move(text)));
    }
    return {};
  }

  void spread(const std::string& path, std::uint32_t file, const CText& text) {
    std::size_t before = 0;
    std::vector<bool> marked(text.chunks.size(), false);
    do {
      before = affected_.size();
      for (std::size_t i = 0; i < text.chunks.size(); ++i) {
        if (!marked[i] && is_affected(text.chunks[i])) {
          marked[i] = true;
          mark(path, file, text.chunks[i]);
        }
      }
    } while (affected_.size() != before);
    if (text.broken && std::ranges::find(marked, true) != marked.end()) {
      open_up(path, "its brackets do not pair in every branch of its conditions");
    }
  }

  bool is_affected(const Chunk& chunk) const {
    for (std::string_view name : chunk.uses) {
      auto it = affected_.find(std::string(name));
      if (it != affected_.end() && (!it->second.function || chunk.takes_values ||
                                    std::ranges::binary_search(chunk.called, name))) {
        return true;
      }
      auto conditions = conditions_.find(name);
      if (conditions != conditions_.end() &&
          std::ranges::any_of(conditions->second,
                              [&](const Given& given) { return holds(chunk, given); })) {
        return true;
      }
    }
    return false;
  }

  static bool holds(const Chunk& chunk, const Given& given) {
    return std::ranges::all_of(given, [&](const std::vector<std::string>& spellings) {
      return std::ranges::any_of(spellings, [&](const std::string& spelling) {
        return std::ranges::binary_search(chunk.uses, std::string_view(spelling));
      });
    });
  }

  // Takes in what can paste the name; where that is done.
  std::vector<std::uint32_t> add_conditions(const std::string& name) {
    std::vector<std::uint32_t> out;
    std::map<std::string, std::vector<std::uint32_t>> holders_of;  // of each part
    index_.for_each_pasting(name, [&](std::string_view pattern, std::string_view macros) {
      const std::vector<Caller>& callers = callers_of(pattern, macros);
      if (callers.empty()) {
        return;
      }
      for (const auto& way :
           ways_to_paste(pattern, name, [&](std::string_view part) { return exists(part); })) {
        Given given;
        std::optional<std::vector<std::uint32_t>> holders;
        for (const std::string& part : way) {
          if (part[0] >= '0' && part[0] <= '9') {
            continue;  // a number is no name: it may be given anywhere
          }
          std::vector<std::string>& spellings = given.emplace_back(index_.aliases(part));
          spellings.push_back(part);
          auto [it, added] = holders_of.try_emplace(part);
          if (added) {
            it->second = files_with(spellings);
          }
          holders = holders ? common(*holders, it->second) : it->second;
        }
        if (holders && holders->empty()) {
          continue;
        }
        for (const Caller& caller : callers) {
          std::ranges::move(holders ? common(caller.files, *holders) : caller.files,
                            std::back_inserter(out));
          conditions_[caller.macro].push_back(given);
        }
      }
    });
    return out;
  }

  // Those of a pattern's macros that a user of a changed header may call.
  const std::vector<Caller>& callers_of(std::string_view pattern, std::string_view macros) {
    auto [it, added] = callers_.try_emplace(pattern);
    if (added) {
      for_each_name(macros, [&](std::string_view macro) {
        Caller caller{.macro = macro, .files = index_.files_naming(macro)};
        std::erase_if(caller.files, [&](std::uint32_t file) { return !visible_[file]; });
        if (!caller.files.empty()) {
          it->second.push_back(std::move(caller));
        }
      });
    }
    return it->second;
  }

  static std::vector<std::uint32_t> common(const std::vector<std::uint32_t>& a,
                                           const std::vector<std::uint32_t>& b) {
    std::vector<std::uint32_t> out;
    std::ranges::set_intersection(a, b, std::back_inserter(out));
    return out;
  }

  // The files that hold one of the names.
  std::vector<std::uint32_t> files_with(const std::vector<std::string>& names) const {
    std::set<std::uint32_t> out;
    for (const std::string& name : names) {
      std::vector<std::uint32_t> files = index_.files_naming(name);
      out.insert(files.begin(), files.end());
    }
    return {out.begin(), out.end()};
  }

  void choose(std::vector<bool>& candidates) const {
    const std::vector<bool> open = index_.users({open_.begin(), open_.end()});
    const auto& ways = index_.ways();
    std::vector<bool> by_option(ways.size());
    for (std::size_t i = 0; i < ways.size(); ++i) {
      by_option[i] = std::ranges::any_of(
          ways[i].names, [&](const std::string& name) { return affected_.contains(name); });
    }
    for (std::size_t i = 0; i < candidates.size(); ++i) {
      const Reader& reader = index_.readers()[i];
      std::uint32_t file = index_.number(reader.source);
      bool named = file != index_.file_count() && named_[file];
      candidates[i] = candidates[i] && (named || open[i] || by_option[reader.way]);
    }
  }

  const SourceIndex& index_;
  const fs::path& tree_;
  std::optional<Configuration> configuration_;
  std::vector<Changed> changed_;
  std::unordered_map<std::string, Affected> affected_;
  std::vector<bool> visible_;  // files that a user of a changed header may read
  std::vector<std::string> fresh_;
  std::map<std::string_view, std::vector<Given>> conditions_;  // of a macro: what it must be given
  std::set<std::string> open_;                                 // files all of whose includers count
  std::vector<bool> named_;                                    // files that hold an affected name
  std::set<std::string_view, std::less<>> new_names_;
  std::unordered_map<std::string_view, std::vector<Caller>> callers_;  // of each pattern
  std::map<std::string, bool, std::less<>> exists_;
  std::string reason_, everything_;
  std::size_t cut_ = 0;
  bool text_differs_ = false;
};

}  // namespace

Result<Reach> reach(const SourceIndex& index, const fs::path& tree,
                    const std::vector<ChangedFile>& headers) {
  return Closure(index, tree, headers).run();
}

}  // namespace suture::source
