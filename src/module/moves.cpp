// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: a function that a file loses and another gets is one function. Taken for a new one, the
// running one would go on being called by every file that the diff does not touch; a variable taken
// for a new one would be there twice.
//
// Method: ask for each global name of an object whose definition the linker takes before and after,
// strong before weak. Where that is another file's, the thing has moved. Where the files of the
// patch had none before, the running object may: a weak one gives way to a strong one. A static
// name moves where a file that had it says it of another's afterwards, or the reverse; and what is
// static and only a moved thing names moves with it, which is followed from piece to piece.
// Functions that move are always redirected: that two files compile to the same is not looked at.
//
// Invariants: one thing that runs has one definition afterwards, and the reverse; else it is
// refused. What moves as data has the same contents. What the kernel freed after boot does not
// move.
#include "module/moves.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "diff/left_behind.h"
#include "module/names.h"

namespace suture::module {

namespace {

using diff::Origin;
using diff::Piece;
using diff::PieceKind;
using diff::Reference;

constexpr const char* remedy =
    "keep the definition in its file, or give the new one a name of its own";

class Finder {
 public:
  Finder(const std::vector<File>& files, const kernel::Symvers& symvers)
      : files_(files), symvers_(symvers) {
    out_.of.resize(files.size());
    for (std::size_t i = 0; i < files.size(); ++i) {
      before_.add(i, files[i].run->name(), files[i].pre->graph);
      after_.add(i, files[i].run->name(), files[i].post->graph);
    }
    for (std::size_t i = 0; i < files.size(); ++i) {
      before_.add_own(i, files[i].run->name(), files[i].pre->graph, after_);
      after_.add_own(i, files[i].run->name(), files[i].post->graph, before_);
    }
  }

  Moves run() {
    for (const auto& [object, names] : after_.objects()) {
      for (const auto& [name, definitions] : names) {
        judge_after(object, name, definitions);
      }
    }
    for (const auto& [object, names] : before_.objects()) {
      for (const auto& [name, definitions] : names) {
        judge_lost(object, name);
      }
    }
    while (!work_.empty()) {
      const Move move = work_.back();
      work_.pop_back();
      follow(move);
    }
    find_exports();
    std::ranges::sort(out_.refusals, {}, &Error::where);
    return std::move(out_);
  }

 private:
  struct Move {
    Definition from, to;
  };

  const Piece& pre(const Definition& one) const {
    return files_[one.file].pre->graph.piece(one.piece);
  }
  const Piece& post(const Definition& one) const {
    return files_[one.file].post->graph.piece(one.piece);
  }
  // What runs only at boot, or is read then, is no part of the running object.
  bool lasts_before(const Definition& one) const {
    return !diff::is_init_section(files_[one.file].pre->graph.section_of(pre(one)).name);
  }
  bool lasts_after(const Definition& one) const {
    return !diff::is_init_section(files_[one.file].post->graph.section_of(post(one)).name);
  }

  void refuse(Code code, std::size_t file, std::string_view name, std::string reason,
              const char* help = remedy) {
    std::string where = fmt::format("{}: {}", files_[file].source, name);
    if (std::ranges::find(out_.refusals, where, &Error::where) == out_.refusals.end()) {
      out_.refusals.push_back(Error{code, std::move(where), std::move(reason), help});
    }
  }

  static const Definition* in_file(const std::vector<Definition>& definitions, std::size_t file) {
    auto it = std::ranges::find(definitions, file, &Definition::file);
    return it == definitions.end() ? nullptr : &*it;
  }

  void judge_after(std::string_view object, std::string_view name,
                   const std::vector<Definition>& definitions) {
    const auto strong = [](const Definition& one) { return one.binding == STB_GLOBAL; };
    // Files of which only one is linked may have it both before and after.
    if (std::ranges::count_if(definitions, strong) >
        std::max<std::ptrdiff_t>(1, std::ranges::count_if(before_.of(object, name), strong))) {
      refuse(Code::symbol_ambiguous, std::ranges::find_if(definitions, strong)->file, name,
             fmt::format("two files of {} define it", object));
      return;
    }
    const Definition* now = after_.global(object, name);
    if (now == nullptr || !lasts_after(*now)) {
      return;
    }
    const Definition* was = before_.global(object, name);
    if (was != nullptr && !lasts_before(*was)) {
      return;
    }
    if (was == nullptr) {
      judge_gained(object, name, *now);
    } else if (was->file != now->file) {
      judge_moved(object, name, *was, *now);
    }
  }

  // The linker took one file's definition, and takes another's.
  void judge_moved(std::string_view object, std::string_view name, const Definition& was,
                   const Definition& now) {
    const Definition* left = in_file(after_.of(object, name), was.file);
    const Definition* had = in_file(before_.of(object, name), now.file);
    if ((left != nullptr && left->binding == STB_LOCAL) ||
        (had != nullptr && had->binding == STB_LOCAL)) {
      refuse(Code::symbol_moved, now.file, name,
             fmt::format("{} and this file both had or have it, one for all files and one for "
                         "itself: which of the running ones to replace cannot be told",
                         files_[was.file].source));
      return;
    }
    add(name, was, now, true);
    // A weak one that stays beside it means the strong one from now on.
    if (left != nullptr) {
      out_.of[was.file].origins.emplace(left->piece, Origin{.file = was.file,
                                                            .pre = files_[was.file].pre,
                                                            .piece = was.piece,
                                                            .replaced = false,
                                                            .global = true});
    }
  }

  // No file of the patch had it for others to see.
  void judge_gained(std::string_view object, std::string_view name, const Definition& now) {
    const auto& had = before_.of(object, name);
    if (in_file(had, now.file) != nullptr) {
      return;  // it was this file's own: it stays what it is
    }
    const match::RunObject& run = *files_[now.file].run;
    if (auto symbol = running_global(run, name)) {
      judge_against_running(name, now, *symbol);
      return;
    }
    const kernel::Export* exported = symvers_.find(name);
    if (exported != nullptr && exported->module != object && run.outside(name)) {
      refuse(Code::symbol_ambiguous, now.file, name,
             fmt::format("{} exports that name, and other files of {} may mean that",
                         exported->module, object),
             "give what is new a name of its own");
      return;
    }
    // A file that had it for itself, and now means this one.
    const Definition* was = nullptr;
    for (const Definition& one : had) {
      if (in_file(after_.of(object, name), one.file) != nullptr || !lasts_before(one) ||
          !names(files_[one.file].post->graph, name)) {
        continue;
      }
      if (was != nullptr) {
        refuse(Code::symbol_ambiguous, now.file, name,
               fmt::format("{} and {} had one for themselves, and both mean this one now",
                           files_[was->file].source, files_[one.file].source));
        return;
      }
      was = &one;
    }
    if (was != nullptr) {
      add(name, *was, now, false);
    }
  }

  // Whether a file says the name without defining it.
  static bool names(const diff::PieceGraph& graph, std::string_view name) {
    return std::ranges::any_of(graph.object().symbols(), [&](const elf::Symbol& symbol) {
      return !symbol.defined() && symbol.name == name;
    });
  }

  static std::optional<std::uint32_t> running_global(const match::RunObject& run,
                                                     std::string_view name) {
    for (std::uint32_t index : run.symbols().find(name)) {
      if (run.symbols().all()[index].is_global()) {
        return index;
      }
    }
    return std::nullopt;
  }

  // The running object has it from a file that the diff does not touch.
  void judge_against_running(std::string_view name, const Definition& now, std::uint32_t symbol) {
    const match::RunObject& run = *files_[now.file].run;
    const bool running_is_weak = run.is_weak(symbol);
    Origin origin{.file = {}, .pre = nullptr, .piece = -1, .replaced = false, .global = true};
    if (now.binding == STB_WEAK) {
      if (running_is_weak) {
        refuse(Code::symbol_ambiguous, now.file, name,
               fmt::format("{} has a weak one already: which of the two the linker would take "
                           "depends on their order",
                           run.name()));
        return;
      }
    } else if (!running_is_weak) {
      refuse(
          Code::symbol_ambiguous, now.file, name,
          fmt::format("{} has it already, from a file that the diff does not change", run.name()));
      return;
    } else if (post(now).kind != PieceKind::function) {
      refuse(Code::symbol_moved, now.file, name,
             fmt::format("the running {} uses the weak variable that it would take the place of",
                         run.name()));
      return;
    } else if (!run.has_entry_call(symbol) ||
               !run.symbols().find(fmt::format("{}.cold", name)).empty()) {
      refuse(Code::symbol_moved, now.file, name,
             "it would take the place of a weak function that ftrace cannot redirect as a whole");
      return;
    } else {
      origin.replaced = true;
    }
    out_.of[now.file].origins.emplace(now.piece, origin);
  }

  // What was for all to see, and is now one file's own: that which said it before.
  void judge_lost(std::string_view object, std::string_view name) {
    const Definition* was = before_.global(object, name);
    const auto& left = after_.of(object, name);
    if (was == nullptr || !lasts_before(*was) || after_.global(object, name) != nullptr ||
        in_file(left, was->file) != nullptr) {
      return;
    }
    if (left.empty()) {
      judge_given_up(object, name, *was);
      return;
    }
    const Definition* now = nullptr;
    for (const Definition& one : left) {
      if (in_file(before_.of(object, name), one.file) != nullptr || !lasts_after(one) ||
          !names(files_[one.file].pre->graph, name)) {
        continue;
      }
      if (now != nullptr) {
        refuse(Code::symbol_ambiguous, was->file, name,
               fmt::format("{} and {} each have one of their own now", files_[now->file].source,
                           files_[one.file].source));
        return;
      }
      now = &one;
    }
    if (now != nullptr) {
      add(name, *was, *now, true);
    }
  }

  // Gone for good. Where files that the diff does not touch go on calling it, a weak definition in
  // one of them takes its place.
  void judge_given_up(std::string_view object, std::string_view name, const Definition& was) {
    const match::RunObject& run = *files_[was.file].run;
    auto symbol = running_global(run, name);
    if (!symbol || pre(was).kind != PieceKind::function || stays(was)) {
      return;
    }
    std::size_t ours = 0;
    for (std::size_t i = 0; i < files_.size(); ++i) {
      ours += files_[i].run == &run ? calls(i, was) : 0;
    }
    if (run.direct_calls(run.symbols().all()[*symbol].address) > ours) {
      refuse(Code::symbol_moved, was.file, name,
             fmt::format("it goes away, and files of {} that the diff does not touch call it: a "
                         "weak definition in one of them would take its place",
                         object),
             "change that definition in the same diff, or keep this one");
    }
  }

  // How many calls and jumps of the file's code go to the start of the function, by any name.
  std::size_t calls(std::size_t file, const Definition& called) const {
    const diff::PieceGraph& home = files_[called.file].pre->graph;
    const diff::PieceGraph& graph = files_[file].pre->graph;
    const Piece& function = home.piece(called.piece);
    std::set<std::string_view> names{function.name};
    for (std::uint32_t alias : function.aliases) {
      names.insert(home.object().symbols()[alias].name);
    }
    auto goes_there = [&](const Reference& reference) {
      return reference.is_branch && reference.target_offset == 0 &&
             (reference.target_piece < 0
                  ? names.contains(graph.object().symbols()[reference.symbol].name)
                  : file == called.file && reference.target_piece == called.piece);
    };
    std::size_t out = 0;
    for (const Piece& piece : graph.pieces()) {
      out += static_cast<std::size_t>(std::ranges::count_if(piece.references, goes_there));
    }
    return out;
  }

  // One running thing goes on as another file's piece.
  void add(std::string_view name, const Definition& was, const Definition& now, bool global) {
    auto& origins = out_.of[now.file].origins;
    auto known = origins.find(now.piece);
    if (known != origins.end() && known->second.file == was.file &&
        known->second.piece == was.piece) {
      known->second.global = known->second.global || global;
      return;
    }
    const Piece& from = pre(was);
    const Piece& to = post(now);
    const bool is_function = to.kind == PieceKind::function;
    if (known != origins.end() || out_.of[was.file].gone.contains(was.piece) || stays(was)) {
      refuse(Code::symbol_moved, now.file, name,
             fmt::format("it and another name are one thing in {} and two after the diff, or the "
                         "reverse",
                         files_[was.file].source));
    } else if (from.kind != to.kind ||
               per_cpu(*files_[was.file].pre, from) != per_cpu(*files_[now.file].post, to)) {
      refuse(Code::symbol_moved, now.file, name,
             fmt::format("it is another kind of thing than what {} had of that name",
                         files_[was.file].source));
    } else if (is_function && !files_[was.file].pre->tables.traceable(was.piece)) {
      refuse(Code::symbol_moved, now.file, name,
             fmt::format("the running one, of {}, has no entry that ftrace can redirect",
                         files_[was.file].source));
    } else {
      origins.emplace(now.piece, Origin{.file = was.file,
                                        .pre = files_[was.file].pre,
                                        .piece = was.piece,
                                        .replaced = is_function,
                                        .global = global});
      out_.of[was.file].gone.insert(was.piece);
      work_.push_back(Move{was, now});
    }
  }

  static bool per_cpu(const diff::Side& side, const Piece& piece) {
    return diff::is_per_cpu_section(side.graph.section_of(piece).name);
  }

  // The file that had the piece still has one of its names.
  bool stays(const Definition& was) const {
    const diff::PieceGraph& graph = files_[was.file].pre->graph;
    const std::string& object = files_[was.file].run->name();
    auto kept = [&](std::uint32_t symbol) {
      const elf::Symbol& named = graph.object().symbols()[symbol];
      const Definition* left = in_file(after_.of(object, named.name), was.file);
      return left != nullptr && left->binding != STB_WEAK;
    };
    const Piece& piece = graph.piece(was.piece);
    return kept(piece.symbol) || std::ranges::any_of(piece.aliases, kept);
  }

  // A piece with what the compiler split off it or made of it.
  static std::vector<std::int32_t> family(const diff::PieceGraph& graph, std::int32_t piece) {
    std::vector<std::int32_t> out{piece};
    const std::string prefix = fmt::format("{}.", graph.piece(piece).name);
    for (std::size_t i = 0;
         graph.piece(piece).kind == PieceKind::function && i < graph.pieces().size(); ++i) {
      const Piece& other = graph.pieces()[i];
      if (other.kind == PieceKind::function && other.name.starts_with(prefix)) {
        out.push_back(static_cast<std::int32_t>(i));
      }
    }
    return out;
  }

  // What the family names that is its file's own, by the name without the compiler's number.
  using Own = std::map<std::pair<PieceKind, std::string>, std::vector<std::int32_t>>;
  static Own own_of(const diff::PieceGraph& graph, std::int32_t piece) {
    Own out;
    for (std::int32_t member : family(graph, piece)) {
      for (const Reference& reference : graph.piece(member).references) {
        if (reference.target_piece < 0) {
          continue;
        }
        const Piece& target = graph.piece(reference.target_piece);
        const bool clone = target.kind == PieceKind::function &&
                           target.name.find('.', 1) != std::string_view::npos;
        if (target.global || target.name.empty() || clone || diff::is_copyable(graph, target)) {
          continue;
        }
        auto& list = out[{target.kind, diff::base_name(target.name)}];
        if (std::ranges::find(list, reference.target_piece) == list.end()) {
          list.push_back(reference.target_piece);
        }
      }
    }
    return out;
  }

  // How many pieces of that kind and name without number a graph has.
  static std::size_t count(const diff::PieceGraph& graph,
                           const std::pair<PieceKind, std::string>& key) {
    return static_cast<std::size_t>(std::ranges::count_if(graph.pieces(), [&](const Piece& piece) {
      return piece.kind == key.first && diff::base_name(piece.name) == key.second;
    }));
  }

  // What only the moved thing names moves with it.
  void follow(const Move& move) {
    const diff::PieceGraph& from = files_[move.from.file].pre->graph;
    const diff::PieceGraph& to = files_[move.to.file].post->graph;
    const Own mine = own_of(to, move.to.piece);
    for (const auto& [key, before] : own_of(from, move.from.piece)) {
      auto it = mine.find(key);
      const bool lost = count(files_[move.from.file].post->graph, key) < count(from, key);
      const bool gained = count(to, key) > count(files_[move.to.file].pre->graph, key);
      if (it == mine.end() || !lost || !gained || diff::may_start_anew(key.second)) {
        continue;
      }
      const std::vector<std::int32_t>& after = it->second;
      if (before.size() != 1 || after.size() != 1) {
        refuse(Code::symbol_ambiguous, move.to.file, key.second,
               fmt::format("several static variables of that name move here from {}, and which is "
                           "which cannot be told",
                           files_[move.from.file].source),
               "give them names of their own, in a patch before");
        continue;
      }
      const Definition was{.file = move.from.file, .piece = before[0]};
      const Definition now{.file = move.to.file, .piece = after[0]};
      if (lasts_before(was) && lasts_after(now)) {
        add(key.second, was, now, false);
      }
    }
    if (post(move.to).kind == PieceKind::data && !same_contents(move)) {
      refuse(Code::data_changed, move.to.file, post(move.to).name,
             fmt::format("it moves here from {} and its size or initial contents change, and the "
                         "running kernel's own copy is in use",
                         files_[move.from.file].source),
             "move it as it is, and set the new value from a callback");
    }
  }

  bool same_contents(const Move& move) const {
    const diff::PieceGraph& from = files_[move.from.file].pre->graph;
    const diff::PieceGraph& to = files_[move.to.file].post->graph;
    const Piece& a = pre(move.from);
    const Piece& b = post(move.to);
    const auto zeros = [](ByteView bytes) {
      return std::ranges::all_of(bytes, [](std::uint8_t byte) { return byte == 0; });
    };
    const ByteView x = from.bytes(a);
    const ByteView y = to.bytes(b);
    return a.size == b.size &&
           (from.section_of(a).flags & SHF_WRITE) == (to.section_of(b).flags & SHF_WRITE) &&
           (x.size() == y.size() ? std::ranges::equal(x, y) : zeros(x) && zeros(y)) &&
           std::ranges::equal(a.references, b.references,
                              [&](const Reference& left, const Reference& right) {
                                return left.offset == right.offset && left.type == right.type &&
                                       same_target(move, left, right);
                              });
  }

  bool same_target(const Move& move, const Reference& left, const Reference& right) const {
    const diff::PieceGraph& from = files_[move.from.file].pre->graph;
    const diff::PieceGraph& to = files_[move.to.file].post->graph;
    const auto text = diff::text_at(from, left);
    if (text || diff::text_at(to, right)) {
      return text == diff::text_at(to, right);
    }
    if (left.target_offset != right.target_offset) {
      return false;
    }
    const auto& origins = out_.of[move.to.file].origins;
    auto origin = origins.find(right.target_piece);
    if (origin != origins.end() && origin->second.file == move.from.file &&
        origin->second.piece == left.target_piece) {
      return true;
    }
    return !own_name(from, left) && !own_name(to, right) && name(from, left) == name(to, right);
  }

  static bool own_name(const diff::PieceGraph& graph, const Reference& reference) {
    return reference.target_piece >= 0 && !graph.piece(reference.target_piece).global;
  }
  static std::string_view name(const diff::PieceGraph& graph, const Reference& reference) {
    return reference.target_piece >= 0 ? graph.piece(reference.target_piece).name
                                       : graph.object().symbols()[reference.symbol].name;
  }

  // What an object exports by one file or another, before and after.
  void find_exports() {
    std::map<std::string, std::pair<std::set<std::string_view>, std::set<std::string_view>>> all;
    for (const File& file : files_) {
      auto& [before, after] = all[file.run->name()];
      before.merge(diff::exports_of(file.pre->graph.object()));
      after.merge(diff::exports_of(file.post->graph.object()));
    }
    for (std::size_t i = 0; i < files_.size(); ++i) {
      const auto& [before, after] = all[files_[i].run->name()];
      std::ranges::set_intersection(
          before, after, std::inserter(out_.of[i].still_exported, out_.of[i].still_exported.end()));
    }
  }

  const std::vector<File>& files_;
  const kernel::Symvers& symvers_;
  Names before_, after_;
  std::vector<Move> work_;
  Moves out_;
};

}  // namespace

Moves find_moves(const std::vector<File>& files, const kernel::Symvers& symvers) {
  return Finder(files, symvers).run();
}

}  // namespace suture::module
