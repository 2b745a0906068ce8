// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: given what differs, choose the smallest set of pieces that makes the running kernel
// behave as the patched source says, or refuse.
//
// Method: a work list.
//   1. A function whose meaning differs is changed. Its .cold part goes with it: half a function
//      cannot be redirected.
//   2. A changed constant table whose address never leaves the code that reads it is copied, and
//      every function that reads it is changed; any other changed data is a refusal, because the
//      running kernel holds its own copy with a life of its own. Data that only init code uses is
//      left out.
//   3. A changed function that ftrace cannot redirect (no entry call) is new code, and its callers
//      are changed instead, up to functions that can be redirected.
//   4. A table of labels of a function that is replaced is copied, as is one that has changed.
//   5. Everything that the chosen pieces refer to and that the kernel does not have, or that has no
//      identity, comes along.
//
// Invariants: every piece with fate `changed` is a traceable function that pre has too; nothing
// with fate `out` is new; init code is never chosen.
#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string>

#include "diff/address_watch.h"
#include "diff/btf_lists.h"
#include "diff/data_places.h"
#include "diff/diff.h"
#include "diff/gathered_lists.h"
#include "diff/left_behind.h"
#include "diff/onces.h"
#include "diff/registered.h"
#include "diff/threads.h"

namespace suture::diff {

namespace {

class Chooser {
 public:
  Chooser(const Side& pre, const Side& post, Home home, Directives directives,
          const OutsideFate& outside, Elsewhere elsewhere)
      : pre_(pre),
        post_(post),
        home_(home),
        before_addresses_(pre, outside),
        after_addresses_(post, outside),
        count_(post.graph.pieces().size()) {
    out_.correlation = correlate(pre, post);
    part_from_this_file(std::move(elsewhere));
    out_.directives = std::move(directives);
    out_.fate.assign(count_, Fate::out);
    differs_.assign(count_, false);
    copied_.assign(count_, false);
    ignored_.assign(count_, false);
    before_names_ = names_of(pre_.graph);
    after_names_ = names_of(post_.graph);
    index_referrers();
  }

  ObjectDiff run() {
    check_shared_places();
    find_ignored();
    judge_all();
    judge_removed();
    for (auto refusal :
         {changed_btf_lists(pre_.graph, post_.graph),
          changed_gathered_lists(pre_.graph, post_.graph, out_.correlation.pre_of)}) {
      if (refusal) {
        out_.refusals.push_back(std::move(*refusal));
      }
    }
    do {
      spread_to_callers();
    } while (copy_labels());
    for (std::size_t i = 0; i < count_; ++i) {
      if (differs_[i]) {
        take(static_cast<std::int32_t>(i), Fate::changed);
      } else if (const Origin* origin = origin_of(static_cast<std::int32_t>(i))) {
        if (origin->replaced) {
          take(static_cast<std::int32_t>(i), Fate::moved);
        }
      } else if (is_new_global(static_cast<std::int32_t>(i))) {
        take(static_cast<std::int32_t>(i), Fate::fresh);
      }
    }
    take_callbacks();
    take_printk_index();
    std::ranges::move(code_that_lists_name(post_.graph, out_.fate),
                      std::back_inserter(out_.refusals));
    std::ranges::move(data_that_needs_the_image(post_.graph, out_.fate),
                      std::back_inserter(out_.refusals));
    check_taken_back();
    note_what_stays_beside_code(pre_, post_, out_);
    judge_threads(pre_, post_, out_);
    return std::move(out_);
  }

 private:
  const Piece& post_piece(std::int32_t index) const { return post_.graph.piece(index); }
  bool init(const Piece& piece) const {
    return is_init_section(post_.graph.section_of(piece).name);
  }
  // It runs, or is read, only while the kernel boots or the module loads, and is gone then.
  bool boot_only(const PieceGraph& graph, const Piece& piece) const {
    return is_freed_section(graph.section_of(piece).name) && !at_exit(graph, piece);
  }
  // It runs, or is read, when the module is unloaded: vmlinux throws such code away.
  bool at_exit(const PieceGraph& graph, const Piece& piece) const {
    return home_ == Home::module && is_exit_section(graph.section_of(piece).name);
  }
  static bool writable(const PieceGraph& graph, const Piece& piece) {
    return (graph.section_of(piece).flags & SHF_WRITE) != 0;
  }
  std::int32_t partner(std::int32_t post) const {
    return out_.correlation.pre_of[static_cast<std::size_t>(post)];
  }
  const Origin* origin_of(std::int32_t post) const {
    auto it = out_.correlation.elsewhere.origins.find(post);
    return it == out_.correlation.elsewhere.origins.end() ? nullptr : &it->second;
  }
  // The kernel runs it already, by this file's or another's definition.
  bool runs(std::int32_t post) const { return partner(post) >= 0 || origin_of(post) != nullptr; }

  // What another file's definition runs for is not what this file had of the name.
  void part_from_this_file(Elsewhere elsewhere) {
    for (const auto& [post, origin] : elsewhere.origins) {
      std::int32_t& before = out_.correlation.pre_of[static_cast<std::size_t>(post)];
      if (before >= 0) {
        out_.correlation.post_of[static_cast<std::size_t>(before)] = -1;
        before = -1;
      }
    }
    out_.correlation.elsewhere = std::move(elsewhere);
  }

  void refuse(Code code, std::string where, std::string reason, std::string remedy) {
    out_.refusals.push_back(Error{code, std::move(where), std::move(reason), std::move(remedy)});
  }

  // Who refers to each post piece from code or data (tables describe, they do not use).
  void index_referrers() {
    referrers_.resize(count_);
    for (std::size_t i = 0; i < count_; ++i) {
      for (const Reference& reference : post_.graph.pieces()[i].references) {
        if (reference.target_piece >= 0 && reference.target_piece != static_cast<int>(i)) {
          referrers_[static_cast<std::size_t>(reference.target_piece)].push_back(
              {static_cast<std::int32_t>(i), reference.is_branch});
        }
      }
    }
  }

  // A global name is a place to redirect. Where the kernel has two names at one place that the
  // patch takes apart, or the reverse, neither can be had without the other. Whoever uses a local
  // name is in this object, and differs where the name means another piece.
  void check_shared_places() {
    for (const auto& [name, after] : after_names_) {
      auto it = before_names_.find(name);
      if (it == before_names_.end() || base_name(name.second) != name.second ||
          partner(after) == it->second || origin_of(after) != nullptr) {
        continue;
      }
      const Piece& before = pre_.graph.piece(it->second);
      if ((before.aliases.empty() && post_piece(after).aliases.empty()) ||
          !has_global_name(pre_.graph, before, name.second)) {
        continue;
      }
      refuse(name.first == PieceKind::function ? Code::not_traceable : Code::data_changed,
             std::string(name.second),
             "it and another name are one place in the running kernel and two after the patch, or "
             "the reverse",
             "keep the aliases as they are, and give what is new a name of its own");
    }
  }

  // What the author answers for stays as it runs.
  void find_ignored() {
    for (const Directives::Ignored& ignored : out_.directives.ignored) {
      bool found = false;
      for (std::size_t i = 0; i < count_; ++i) {
        const auto index = static_cast<std::int32_t>(i);
        const std::int32_t home = owner_of(index);
        const Piece& piece = post_piece(home);
        const bool named = ignored.name.starts_with('.')
                               ? post_.graph.section_of(piece).name == ignored.name
                               : piece.name == ignored.name;
        if (named && partner(home) >= 0) {
          ignored_[i] = true;
          found = true;
        }
      }
      if (found) {
        out_.add_note(fmt::format("{} stays as it is in the running kernel, as the author says: {}",
                                  ignored.name, ignored.reason));
      } else {
        refuse(
            Code::bad_manifest, ignored.name,
            "it is to be ignored, and the file has no function, variable or section of that name "
            "before and after the diff",
            "name what the file defines, as `nm` shows it");
      }
    }
  }

  void take_callbacks() {
    for (const Directives::Callback& callback : out_.directives.callbacks) {
      const Piece& function = post_piece(callback.function);
      if (init(function) || partner(callback.function) >= 0) {
        refuse(Code::bad_manifest, describe(function),
               "it is to be a callback, and is the kernel's own or runs at boot only",
               "write a function of its own for the callback");
      } else {
        take(callback.function, Fate::fresh);
      }
    }
  }

  // What the author takes back himself is something that the patch adds.
  void check_taken_back() {
    for (const Directives::Ignored& word : out_.directives.taken_back) {
      bool found = false;
      for (std::size_t i = 0; i < count_; ++i) {
        const Piece& piece = post_.graph.pieces()[i];
        found = found || (piece.name == word.name && out_.fate[i] == Fate::fresh);
      }
      if (!found) {
        refuse(Code::bad_manifest, word.name,
               "it is to be taken back, and is no function or variable that the patch adds",
               "name what the diff adds to this file, as `nm` shows it");
      }
    }
  }

  void judge_all() {
    for (std::size_t i = 0; i < count_; ++i) {
      auto index = static_cast<std::int32_t>(i);
      const Piece& piece = post_piece(index);
      if (is_copyable(post_.graph, piece)) {
        continue;
      }
      std::int32_t before = partner(index);
      if (before < 0) {
        judge_new(index);
        continue;
      }
      if (ignored_[i]) {
        continue;
      }
      if (equal(pre_, post_, out_.correlation, before, index)) {
        check_still_writable(pre_.graph.piece(before), piece);
        continue;
      }
      if (boot_only(post_.graph, piece)) {
        out_.init_changed = true;
        if (!piece.name.empty()) {
          out_.add_note(
              fmt::format("{} {}: its change is left out", describe(piece), lifetime(piece)));
        }
      } else if (piece.kind == PieceKind::function && at_exit(post_.graph, piece)) {
        refuse_exit(piece, "its code changes");
      } else if (piece.kind == PieceKind::function) {
        differs_[i] = true;
      } else {
        judge_data(index);
      }
    }
    join_cold_parts();
  }

  // What the kernel has made read-only by now cannot be written, whatever the source says later.
  void check_still_writable(const Piece& before, const Piece& after) {
    const std::string_view section = pre_.graph.section_of(before).name;
    const bool sealed = !writable(pre_.graph, before) ||
                        section.starts_with(".data..ro_after_init") ||
                        section.starts_with(".data.rel.ro");
    const std::string_view later = post_.graph.section_of(after).name;
    if (before.kind == PieceKind::data && sealed && writable(post_.graph, after) &&
        !later.starts_with(".data..ro_after_init") && !later.starts_with(".data.rel.ro")) {
      refuse(Code::data_changed, describe(after),
             fmt::format("{} becomes writable, and the running kernel's own copy, which is in use, "
                         "lies in memory that is read-only since boot",
                         describe(after)),
             "leave it as it is, and keep what is to be written in a variable of its own");
    }
  }

  // Why what lies in a section that is freed does not matter any more.
  std::string_view lifetime(const Piece& piece) const {
    if (is_exit_section(post_.graph.section_of(piece).name)) {
      return "is exit code, which the kernel itself never runs";
    }
    return piece.kind == PieceKind::function ? "only runs at boot or load"
                                             : "only exists at boot or load";
  }

  // What is new is taken only if something chosen needs it.
  void judge_new(std::int32_t index) {
    const Piece& piece = post_piece(index);
    const std::string_view section = post_.graph.section_of(piece).name;
    if (!init(piece) || at_exit(post_.graph, piece) || section == btf_lists_section) {
      return;
    }
    out_.init_changed = true;
    if (piece.kind == PieceKind::function) {
      out_.add_note(
          fmt::format("{} is new and {}: it is left out", describe(piece), lifetime(piece)));
    } else if (!is_freed_section(section) || is_entry_of_a_list(index)) {
      out_.add_note(
          fmt::format("{} is new and only read at boot or load: it is left out", describe(piece)));
    }
  }

  // Nobody names it, so that the kernel finds it by its section alone. An entry that calls new boot
  // code is told by that.
  bool is_entry_of_a_list(std::int32_t index) const {
    const Piece& piece = post_piece(index);
    return !piece.name.empty() && referrers_[static_cast<std::size_t>(index)].empty() &&
           std::ranges::none_of(piece.references, [&](const Reference& reference) {
             return reference.target_piece >= 0 && partner(reference.target_piece) < 0 &&
                    init(post_piece(reference.target_piece));
           });
  }

  // What only runs at boot may go without a trace in the code that stays.
  void judge_removed() {
    for (std::size_t i = 0; i < pre_.graph.pieces().size(); ++i) {
      const Piece& piece = pre_.graph.pieces()[i];
      const std::string_view section = pre_.graph.section_of(piece).name;
      if (!piece.name.empty() && out_.correlation.post_of[i] < 0 && is_init_section(section) &&
          section != btf_lists_section && !at_exit(pre_.graph, piece)) {
        out_.init_changed = true;
        if (piece.kind == PieceKind::function && find_function(piece.name) < 0) {
          out_.add_note(fmt::format("{} goes, and has run at boot or load: what it did stays",
                                    authors_name(pre_.graph, piece)));
        }
      }
    }
  }

  // It lies where ftrace has no entry to redirect, so what it does or uses cannot be changed.
  void refuse_exit(const Piece& piece, std::string_view why) {
    refuse(Code::module_exit, describe(piece),
           fmt::format("{}; it is exit code, which the module still runs when it is unloaded, and "
                       "has no entry that ftrace can redirect",
                       why),
           "leave what exit code does and uses as it is, or unload the module and load one that "
           "was built with the change");
  }

  std::string describe(const Piece& piece) const {
    return piece.name.empty() ? std::string("unnamed data")
                              : std::string(authors_name(post_.graph, piece));
  }

  void judge_data(std::int32_t index) {
    const Piece& piece = post_piece(index);
    const auto& users = referrers_[static_cast<std::size_t>(index)];
    if (only_used_at_boot(index)) {
      if (const std::string giver = giver_of_contents(pre_, partner(index), post_, index);
          !giver.empty()) {
        refuse_data(pre_.graph.piece(partner(index)), piece,
                    fmt::format("{} gave what it points to to others, who may keep it", giver));
        return;
      }
      out_.init_changed = true;
      out_.add_note(
          fmt::format("{} is only used at boot or load: its change is left out", describe(piece)));
      return;
    }
    std::string_view hindrance = why_not_copied(index);
    if (!hindrance.empty()) {
      refuse_data(pre_.graph.piece(partner(index)), piece, hindrance);
      return;
    }
    copied_[static_cast<std::size_t>(index)] = true;
    for (const Referrer& user : users) {
      const Piece& reader = post_piece(user.piece);
      if (at_exit(post_.graph, reader)) {
        refuse_exit(reader, fmt::format("it uses {}, which changes", describe(piece)));
      } else if (boot_only(post_.graph, reader)) {
        note_past_use(reader, piece);
      } else if (partner(user.piece) >= 0) {
        differs_[static_cast<std::size_t>(user.piece)] = true;
      }
    }
  }

  // Boot code has used what changes, or is new and left out; exit code of vmlinux never runs.
  void note_past_use(const Piece& boot, const Piece& used) {
    out_.init_changed = true;
    if (!boot.name.empty() && !is_exit_section(post_.graph.section_of(boot).name)) {
      out_.add_note(fmt::format("{} only runs at boot or load, and has used {} as it was",
                                describe(boot), describe(used)));
    }
  }

  void refuse_data(const Piece& before, const Piece& after, std::string_view hindrance) {
    const std::string name = describe(after);
    if (before.size != after.size) {
      refuse(
          Code::data_changed, name,
          fmt::format("the size of {} changes from {} to {} bytes, and the running kernel's own, "
                      "of the old size, is in use: {}",
                      name, before.size, after.size, hindrance),
          "leave its size, and keep what is new in a variable of its own");
    } else {
      refuse(Code::data_changed, name,
             fmt::format("the initial contents of {} change, and the running kernel's own copy is "
                         "in use: {}",
                         name, hindrance),
             "change the code that uses it instead; or keep the variable (SUTURE_IGNORE) and set "
             "the new "
             "value from a callback: docs/patch-author-guide.md");
    }
  }

  // Boot code alone names it, and gave its address to nobody who could use it later.
  bool only_used_at_boot(std::int32_t index) {
    const Piece& piece = post_piece(index);
    const auto& users = referrers_[static_cast<std::size_t>(index)];
    if (piece.global || users.empty() || !std::ranges::all_of(users, [&](const Referrer& user) {
          return boot_only(post_.graph, post_piece(user.piece));
        })) {
      return false;
    }
    // What is written may be anything's by now: it is not followed further.
    return writable(post_.graph, piece)
               ? !hands_out(pre_.graph, partner(index)) && !hands_out(post_.graph, index)
               : before_addresses_.stays(partner(index)) && after_addresses_.stays(index);
  }

  static bool hands_out(const PieceGraph& graph, std::int32_t index) {
    return std::ranges::any_of(graph.pieces(), [&](const Piece& user) {
      return std::ranges::any_of(user.references, [&](const Reference& reference) {
        return reference.target_piece == index && reference.takes_address;
      });
    });
  }

  // Empty where a changed copy serves all code that can get at the data.
  std::string_view why_not_copied(std::int32_t index) {
    const Piece& piece = post_piece(index);
    if (writable(post_.graph, piece)) {
      return "it is not constant";
    }
    if (piece.global) {
      return "other files may refer to it";
    }
    if (referrers_[static_cast<std::size_t>(index)].empty()) {
      return "no code of this file refers to it";
    }
    if (!only_known_inside(piece)) {
      return "it points to what the kernel does not have";
    }
    const bool stays = before_addresses_.stays(partner(index)) && after_addresses_.stays(index);
    return stays ? "" : "its address may be kept, or compared, by what it was given to";
  }

  // Pointers to what the kernel has, and to strings, mean the same from a copy.
  bool only_known_inside(const Piece& piece) const {
    return std::ranges::all_of(piece.references, [&](const Reference& reference) {
      return reference.target_piece < 0 || runs(reference.target_piece) ||
             is_copyable(post_.graph, post_piece(reference.target_piece));
    });
  }

  // The name of the function that `f.cold` or `f.cold.3` was split from.
  static std::string_view parent_name(std::string_view name) {
    std::size_t at = name.find(".cold");
    return at == std::string_view::npos ? std::string_view{} : name.substr(0, at);
  }

  std::int32_t find_function(std::string_view name) const {
    auto it = after_names_.find({PieceKind::function, name});
    return it == after_names_.end() ? -1 : it->second;
  }

  void join_cold_parts() {
    for (std::size_t i = 0; i < count_; ++i) {
      auto index = static_cast<std::int32_t>(i);
      std::int32_t home = owner_of(index);
      if (differs_[i] && home != index) {
        differs_[i] = false;
        differs_[static_cast<std::size_t>(home)] = partner(home) >= 0;
      }
    }
  }

  bool traceable_before(std::int32_t post) const {
    std::int32_t before = partner(post);
    return before >= 0 && pre_.tables.traceable(before);
  }

  // Step 3. `differs_` keeps only functions that can be redirected; the others become fresh code.
  void spread_to_callers() {
    std::vector<std::int32_t> work;
    for (std::size_t i = 0; i < count_; ++i) {
      if (differs_[i] && !traceable_before(static_cast<std::int32_t>(i))) {
        work.push_back(static_cast<std::int32_t>(i));
      }
    }
    std::vector<bool> seen(count_, false);
    while (!work.empty()) {
      std::int32_t index = work.back();
      work.pop_back();
      auto slot = static_cast<std::size_t>(index);
      if (seen[slot]) {
        continue;
      }
      seen[slot] = true;
      differs_[slot] = false;
      copied_[slot] = true;
      const Piece& piece = post_piece(index);
      const auto& users = referrers_[slot];
      bool leaks =
          piece.global || users.empty() || std::ranges::any_of(users, [&](const Referrer& user) {
            return !user.branch || post_piece(user.piece).kind != PieceKind::function;
          });
      if (leaks) {
        refuse(Code::not_traceable, std::string(piece.name),
               "the function has no entry that ftrace can redirect, and not all of its callers are "
               "known",
               "move the change into its callers, or out of the inline or notrace function");
        continue;
      }
      for (const Referrer& user : users) {
        std::int32_t caller = owner_of(user.piece);
        if (at_exit(post_.graph, post_piece(caller))) {
          refuse_exit(post_piece(caller), fmt::format("it calls {}, which changes", piece.name));
          continue;
        }
        if (init(post_piece(caller))) {
          note_past_use(post_piece(caller), piece);
          continue;
        }
        if (partner(caller) < 0) {
          continue;
        }
        if (traceable_before(caller)) {
          differs_[static_cast<std::size_t>(caller)] = true;
        } else {
          work.push_back(caller);
        }
      }
    }
  }

  // Step 4. A table of labels (`goto *table[i]`) leads into one function: a new one needs its own,
  // also where no label has moved in it. True where that replaces more functions.
  bool copy_labels() {
    bool more = false;
    for (std::size_t i = 0; i < count_; ++i) {
      const auto index = static_cast<std::int32_t>(i);
      const Piece& piece = post_piece(index);
      if (piece.kind == PieceKind::data && partner(index) >= 0 && !copied_[i] && !ignored_[i] &&
          !judged_labels_.contains(index) && !boot_only(post_.graph, piece) &&
          std::ranges::any_of(piece.references, [&](const Reference& reference) {
            return leads_into_new_code(reference);
          })) {
        judge_data(index);
        more = more || copied_[i];
        judged_labels_.insert(index);
      }
    }
    return more;
  }

  bool leads_into_new_code(const Reference& reference) const {
    const std::int32_t target = reference.target_piece;
    if (target < 0 || post_piece(target).kind != PieceKind::function) {
      return false;
    }
    const std::int32_t owner = owner_of(target);
    const auto slot = static_cast<std::size_t>(owner);
    return (reference.target_offset != 0 || owner != target) && (differs_[slot] || copied_[slot]);
  }

  // What a .cold part does is done by the function that it belongs to.
  std::int32_t owner_of(std::int32_t index) const {
    std::string_view parent = parent_name(post_piece(index).name);
    std::int32_t home = parent.empty() ? -1 : find_function(parent);
    return home < 0 ? index : home;
  }

  // Another file of the same patch may be what uses it.
  bool is_new_global(std::int32_t index) const {
    const Piece& piece = post_piece(index);
    return piece.global && partner(index) < 0 && !init(piece) &&
           (piece.kind == PieceKind::function || piece.kind == PieceKind::data);
  }

  // struct pi_entry (include/linux/printk.h) names its function by a string; nothing else ties the
  // two together. .printk_index holds a pointer to each entry.
  void take_printk_index() {
    constexpr std::uint64_t func_member = 8;
    for (std::size_t i = 0; i < count_; ++i) {
      const Piece& pointer = post_.graph.pieces()[i];
      if (post_.graph.section_of(pointer).name != ".printk_index" || pointer.references.empty() ||
          pointer.references[0].target_piece < 0) {
        continue;
      }
      const Piece& entry = post_piece(pointer.references[0].target_piece);
      for (const Reference& member : entry.references) {
        if (member.offset != func_member || member.target_piece < 0 || member.target_offset < 0) {
          continue;
        }
        auto function = read_cstr(post_.graph.bytes(post_piece(member.target_piece)),
                                  static_cast<std::uint64_t>(member.target_offset));
        std::int32_t home = function ? find_function(*function) : -1;
        if (home >= 0 && out_.fate[static_cast<std::size_t>(home)] != Fate::out) {
          take(static_cast<std::int32_t>(i), Fate::fresh);
        }
      }
    }
  }

  void take(std::int32_t first, Fate fate) {
    out_.fate[static_cast<std::size_t>(first)] = fate;
    std::vector<std::int32_t> work{first};
    std::vector<bool>& done = taken_;
    done.resize(count_, false);
    while (!work.empty()) {
      std::int32_t index = work.back();
      work.pop_back();
      auto slot = static_cast<std::size_t>(index);
      if (done[slot]) {
        continue;
      }
      done[slot] = true;
      const Piece& piece = post_piece(index);
      auto follow = [&](const Reference& reference) {
        if (wanted(index, reference)) {
          auto target = static_cast<std::size_t>(reference.target_piece);
          if (out_.fate[target] == Fate::out) {
            out_.fate[target] = differs_[target]                    ? Fate::changed
                                : origin_of(reference.target_piece) ? Fate::moved
                                                                    : Fate::fresh;
          }
          work.push_back(reference.target_piece);
        }
      };
      std::ranges::for_each(piece.references, follow);
      for (const TableEntry& entry : post_.tables.of(index)) {
        std::ranges::for_each(entry.references, follow);
      }
    }
  }

  // Does the target have to come along when `from` does?
  bool wanted(std::int32_t from, const Reference& reference) {
    if (reference.target_piece < 0) {
      return false;
    }
    auto slot = static_cast<std::size_t>(reference.target_piece);
    const Piece& target = post_piece(reference.target_piece);
    if (init(target) && !is_copyable(post_.graph, target)) {
      return false;
    }
    if (const Origin* origin = origin_of(reference.target_piece)) {
      return origin->replaced;
    }
    if (out_.correlation.ambiguous[slot] && is_key_of_a_once(base_name(target.name))) {
      refuse(Code::symbol_ambiguous, describe(post_piece(from)),
             "it does something once (DO_ONCE(), get_random_once()), and whether the running "
             "kernel has done that yet cannot be told: no variable that is filled tells its onces "
             "apart",
             "leave what is done once, and the variable that it fills, as they are; or do it in a "
             "function of its own that stays");
      return false;
    }
    if (out_.correlation.ambiguous[slot]) {
      refuse(Code::symbol_ambiguous, describe(post_piece(from)),
             fmt::format("it uses the static variable {}, and which of the kernel's variables of "
                         "that name it is cannot be told",
                         base_name(target.name)),
             "give the new static variable a name of its own");
      return false;
    }
    if (target.name.empty() && !is_copyable(post_.graph, target)) {
      refuse(Code::symbol_unresolved, describe(post_piece(from)),
             fmt::format("it uses unnamed data in {}, which cannot be found in the running kernel",
                         post_.graph.section_of(target).name),
             "give the data a name");
      return false;
    }
    if (reference.by_section && !is_copyable(post_.graph, target) &&
        !keeps_neighbours(reference.target_piece)) {
      refuse(
          Code::symbol_ambiguous, describe(post_piece(from)),
          fmt::format("it points to the start or the end of {}, and which of the variables of {} "
                      "beside each other is meant cannot be told: they do not stay so",
                      describe(target), post_.graph.section_of(target).name),
          "leave the variables of that section as they are");
      return false;
    }
    if (partner(reference.target_piece) < 0 &&
        post_.graph.section_of(target).name == "__tracepoint_str") {
      refuse(Code::symbol_unresolved, describe(post_piece(from)),
             "it gives tracing a new string to keep, and tracing only reads strings of vmlinux and "
             "of the event's own module",
             "keep to the strings that the function has");
      return false;
    }
    bool own_cold = reference.target_piece != from && owner_of(reference.target_piece) == from;
    return own_cold || partner(reference.target_piece) < 0 || differs_[slot] || copied_[slot] ||
           is_copyable(post_.graph, target);
  }

  // The variable and those right before and after it are the kernel's, and lie there as they do
  // here.
  bool keeps_neighbours(std::int32_t index) const {
    auto [before, after] = post_.graph.neighbours(index);
    return stays_beside(before, index) && stays_beside(index, after);
  }

  bool stays_beside(std::int32_t first, std::int32_t second) const {
    if (first < 0 || second < 0) {
      return true;
    }
    auto kept = [&](std::int32_t index) {
      return partner(index) >= 0 && !copied_[static_cast<std::size_t>(index)];
    };
    return kept(first) && kept(second) &&
           pre_.graph.neighbours(partner(first)).second == partner(second);
  }

  struct Referrer {
    std::int32_t piece;
    bool branch;
  };

  const Side& pre_;
  const Side& post_;
  const Home home_;
  AddressWatch before_addresses_;
  AddressWatch after_addresses_;
  std::size_t count_;
  std::vector<std::vector<Referrer>> referrers_;
  std::vector<bool> differs_;             // to be redirected
  std::vector<bool> copied_;              // not the kernel's but a changed copy of it is used
  std::vector<bool> ignored_;             // by the author's word
  std::set<std::int32_t> judged_labels_;  // tables of labels that were judged
  std::vector<bool> taken_;
  NameMap before_names_;
  NameMap after_names_;
  ObjectDiff out_;
};

}  // namespace

void ObjectDiff::add_note(std::string text) {
  if (std::ranges::find(notes, text) == notes.end()) {
    notes.push_back(std::move(text));
  }
}

bool ObjectDiff::any_changed() const {
  return std::ranges::any_of(fate, replaces) || !directives.callbacks.empty();
}

bool ObjectDiff::takes_anything() const {
  return std::ranges::any_of(fate, [](Fate one) { return one != Fate::out; });
}

ObjectDiff compare(const Side& pre, const Side& post, Home home, Directives directives,
                   const OutsideFate& outside, Elsewhere elsewhere) {
  return Chooser(pre, post, home, std::move(directives), outside, std::move(elsewhere)).run();
}

}  // namespace suture::diff
