// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: a patch that is right in every object that it holds is still wrong where one is missing:
// whoever forgot an object gives the proof the same list.
//
// Method: the list is not believed. The functions that a changed file defines are counted in the
// image and in every module, by their symbols; the compiled objects of the patch must account for
// all of them. Only names that no other file of the tree defines are counted, so that what is found
// too much can only be the changed file's. A change of what a header defines is followed by name
// through everything that can see it (reach.h) to functions, which are counted the same way. And
// what is left out because it only runs at boot must lie where that is so.
//
// Invariants: an accusation rests on what was shipped, not on what a file seems to include; where
// the names tell nothing, that is said, and nothing is taken for counted.
#include "prove/whole.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>

#include "base/parallel.h"
#include "base/text.h"
#include "prove/reach.h"

namespace suture::prove {

namespace {

constexpr std::size_t most_named = 4;

bool is_source(std::string_view path) { return path.ends_with(".c"); }
bool is_c(std::string_view path) { return is_source(path) || path.ends_with(".h"); }

class Counter {
 public:
  Counter(const Scope& scope, const std::deque<Side>& sides, Proof& proof)
      : scope_(scope), index_(*scope.index), proof_(proof) {
    for (const Side& side : sides) {
      if (side.unit == nullptr) {
        continue;
      }
      sources_.insert(fs::path(side.unit->source).lexically_normal().string());
      for (const elf::Symbol& symbol : side.unit->pre->symbols()) {
        const std::string_view name = symbol.defined() && symbol.type == STT_FUNC
                                          ? source_name(symbol.name)
                                          : std::string_view{};
        if (!name.empty()) {
          ++accounted_[{side.unit->object, std::string(name)}];
        }
      }
    }
  }

  void run() {
    for (const Scope::File& file : scope_.files) {
      if (!is_c(file.path)) {
        check_other(file);
      } else if (!file.before.empty()) {
        check_file(file);
      }
    }
    for (const std::string& source : scope_.absent) {
      check_absent(source);
    }
    for (const std::string& source : sources_) {
      if (std::ranges::find(scope_.files, source, &Scope::File::path) == scope_.files.end()) {
        check_unit(source);
      }
    }
  }

 private:
  void accuse(std::string where, std::string what) {
    proof_.accusations.push_back(
        Error{Code::proof_failed, std::move(where), std::move(what), "report this with the diff"});
  }

  // What was left out as no code must not be included by any.
  void check_other(const Scope::File& file) {
    for (const std::uint32_t carrier : index_.carriers(file.path)) {
      if (index_.path(carrier) != file.path && is_c(index_.path(carrier))) {
        accuse(file.path, fmt::format("the patch takes it for no code, and {} includes it",
                                      index_.path(carrier)));
        return;
      }
    }
  }

  using Lacking = std::map<std::string, std::vector<std::string>>;

  // Objects that have more functions of these names than the patch accounts for, and which.
  Lacking unaccounted(const std::vector<std::string>& names) const {
    Lacking out;
    for (const std::string& name : names) {
      for (const auto& [object, count] : index_.shipped(name)) {
        const auto known = accounted_.find({std::string(object), name});
        if (count > (known == accounted_.end() ? 0 : known->second)) {
          out[std::string(object)].push_back(name);
        }
      }
    }
    return out;
  }

  // How many of the names an object of the patch has.
  std::size_t accounted(const std::vector<std::string>& names) const {
    std::map<std::string_view, std::size_t> counts;
    std::size_t most = 0;
    for (const std::string& name : names) {
      for (const auto& [object, count] : index_.shipped(name)) {
        if (accounted_.contains({std::string(object), name})) {
          most = std::max(most, ++counts[object]);
        }
      }
    }
    return most;
  }

  // Functions that only one file defines.
  struct Own {
    std::vector<std::string> names;
    std::set<std::string> shared;  // those that other files can call

    // Of a file that is compiled, the compiler leaves at least some functions, and all that others
    // can call. A few names of the rest may be others', made by macros.
    bool is_shown_by(const std::vector<std::string>& found) const {
      const bool some = found.size() > 1 || names.size() < 4;
      return found.size() >= 6 || (some && found.size() * 8 >= names.size()) ||
             std::ranges::any_of(found,
                                 [&](const std::string& name) { return shared.contains(name); });
    }
  };

  Own own_of(const FileText& text, const std::string& path) const {
    std::set<std::string> names;
    Own out;
    for (const Item& item : text.items) {
      // Every module has these two, by other names.
      if (item.kind == ItemKind::function && !item.name.contains('(') &&
          item.name != "init_module" && item.name != "cleanup_module" &&
          !index_.defined_beside(item.name, std::vector{path})) {
        names.emplace(item.name);
        if (!item.local && item.certain) {
          out.shared.emplace(item.name);
        }
      }
    }
    out.names.assign(names.begin(), names.end());
    return out;
  }

  // The object that has a source which the patch does not hold, if one has.
  std::optional<std::pair<std::string, std::vector<std::string>>> holder(const Own& own) const {
    for (auto& [object, found] : unaccounted(own.names)) {
      if (own.is_shown_by(found)) {
        return std::pair(object, found);
      }
    }
    return std::nullopt;
  }

  void check_file(const Scope::File& file) {
    const FileText before = read_c(file.before, scope_.configuration);
    const FileText after = read_c(file.after, scope_.configuration);
    const Difference difference = difference_of(before, after);
    if (difference.nothing()) {
      return;
    }
    std::vector<std::string> missing;
    std::size_t assembly = 0;
    for (const std::uint32_t carrier : index_.carriers(file.path)) {
      const std::string path(index_.path(carrier));
      assembly += path.ends_with(".S") ? 1 : 0;
      if (is_source(path) && !sources_.contains(path)) {
        missing.push_back(path);
      }
    }
    if (assembly > 0) {
      proof_.unseen.push_back(fmt::format(
          "whether {} assembly files that may include {} see its change", assembly, file.path));
    }
    if (is_source(file.path) && index_.find(file.path)) {
      check_source(file.path, before, missing);
    } else if (!is_source(file.path)) {
      check_header(file, difference, missing);
    }
  }

  // All functions of a changed source are in objects of the patch, however often it is compiled.
  void check_source(const std::string& path, const FileText& before,
                    const std::vector<std::string>& missing) {
    const Own own = own_of(before, path);
    const std::size_t known = accounted(own.names);
    const std::string lacks =
        missing.empty() ? "" : fmt::format("; the patch lacks {}", listed(missing, most_named));
    for (const auto& [object, found] : unaccounted(own.names)) {
      // What only shows in the count must be most of the file.
      const bool most = known > 0 && found.size() > 1 && found.size() * 2 >= known;
      const bool some = !missing.empty() && own.is_shown_by(found);
      if (most || some) {
        accuse(path, fmt::format("{} has functions of it that the patch does not account for: {}{}",
                                 object, listed(found, most_named), lacks));
        return;
      }
    }
    // A file that includes the changed one for sure is known by its own functions, too.
    if (own.names.empty() && !sources_.contains(path)) {
      cannot_know(path);
    }
    for (const std::uint32_t number : index_.carriers(path, TreeIndex::Inclusions::certain)) {
      const std::string carrier(index_.path(number));
      if (carrier != path && std::ranges::find(missing, carrier) != missing.end()) {
        check_carrier(path, carrier, own.names.empty());
      }
    }
  }

  void cannot_know(const std::string& source) {
    proof_.unseen.push_back(
        fmt::format("whether the kernel has {}: no function of it has a name of its own", source));
  }

  void check_carrier(const std::string& changed, const std::string& carrier, bool nameless) {
    const auto text = read_text(scope_.tree / carrier);
    if (!text) {
      return;
    }
    const Own own = own_of(read_c(*text, scope_.configuration), carrier);
    if (const auto found = holder(own)) {
      accuse(changed,
             fmt::format("{} includes it, and {} has that file's {}; the patch lacks that file",
                         carrier, found->first, listed(found->second, most_named)));
    } else if (own.names.empty() && nameless) {
      cannot_know(carrier);
    }
  }

  // What a header's change reaches is patched in every object that has it.
  void check_unit(const std::string& source) {
    const auto text = read_text(scope_.tree / source);
    if (!text) {
      return;
    }
    const Own own = own_of(read_c(*text, scope_.configuration), source);
    const std::size_t known = accounted(own.names);
    for (const auto& [object, found] : unaccounted(own.names)) {
      if (found.size() > 1 && found.size() * 2 >= known) {
        accuse(source, fmt::format("{} has functions of it that the patch does not account for: {}",
                                   object, listed(found, most_named)));
        return;
      }
    }
  }

  void check_absent(const std::string& source) {
    if (!index_.find(source)) {
      return;  // of another architecture
    }
    const auto text = read_text(scope_.tree / source);
    if (!text) {
      return;
    }
    const Own own = own_of(read_c(*text, scope_.configuration), source);
    if (const auto found = holder(own)) {
      accuse(source, fmt::format("it is said to be not in this kernel, and {} has its functions {}",
                                 found->first, listed(found->second, most_named)));
    }
  }

  void check_header(const Scope::File& file, const Difference& difference,
                    const std::vector<std::string>& missing) {
    const Reach reach(scope_, file.path, difference);
    std::ranges::copy(reach.unseen(), std::back_inserter(proof_.unseen));
    std::vector<std::string> lacking(missing.size());
    parallel_for(missing.size(), [&](std::size_t i) {
      const auto text = read_text(scope_.tree / missing[i]);
      if (!text || !reach.may_change(*text)) {
        return;
      }
      const FileText read = read_c(*text, scope_.configuration);
      const Own own = own_of(read, missing[i]);
      const auto found = reach.changes(read) ? holder(own) : std::nullopt;
      if (found) {
        lacking[i] = found->first;
      }
    });
    for (std::size_t i = 0; i < missing.size(); ++i) {
      if (!lacking[i].empty()) {
        accuse(file.path,
               fmt::format("{} uses what changes in it, and {} has that file's functions; "
                           "the patch lacks that file",
                           missing[i], lacking[i]));
      }
    }
    // Functions of headers are in every object that did not take them in line.
    for (const auto& [object, found] : unaccounted(reach.functions_of_headers())) {
      accuse(file.path,
             fmt::format("{} has functions of it that the patch does not account for: {}", object,
                         listed(found, most_named)));
    }
  }

  const Scope& scope_;
  const TreeIndex& index_;
  Proof& proof_;
  std::set<std::string, std::less<>> sources_;
  std::map<std::pair<std::string, std::string>, std::size_t> accounted_;  // by object and function
};

// What is left out because it runs only at boot must lie in what the image frees.
void check_boot_only(const std::deque<Side>& sides, Running& running, Proof& proof) {
  for (const Side& side : sides) {
    for (std::size_t i = 0; side.unit != nullptr && i < side.changes.at_boot.size(); ++i) {
      const auto index = static_cast<std::int32_t>(i);
      const Part& part = side.post.object.part(index);
      if (!side.changes.at_boot[i] || part.kind != PartKind::code ||
          side.redirected.contains(index)) {
        continue;
      }
      const bool stays = std::ranges::any_of(side.functions_at, [&](const auto& function) {
        const elf::Section* lies = running.image().section_at(function.first);
        return function.second == side.pairing.pre(index) && lies != nullptr &&
               !is_boot_only(lies->name);
      });
      if (stays) {
        proof.accusations.push_back(
            Error{Code::proof_failed,
                  fmt::format("{}: {}", side.unit->source, side.post.object.name(part)),
                  "it means something else after the diff, and stays in memory as it is",
                  "report this with the diff"});
      }
    }
  }
}

}  // namespace

void check_whole(const Scope& scope, const std::deque<Side>& sides, Running& running,
                 Proof& proof) {
  Counter(scope, sides, proof).run();
  check_boot_only(sides, running, proof);
}

}  // namespace suture::prove
