// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: each object of a patch can be right and the whole be wrong, where a name is taken from
// another object, or a thing that runs got its definition in another file and nobody redirects it.
//
// Method: do what the object's linker would, with all that the patch has of it: of each name the
// one strong definition, else the one weak one, before and after. Where these are parts of two
// files, the one is the other's ancestor. A name without a definition before is looked up in what
// runs: a weak thing there is the ancestor of a strong one. A name that was one file's own and
// becomes all files', or the reverse, has its ancestor where the files that said it before and
// after say so. What only an ancestor and its heir name, and neither file else has, is ancestor and
// heir, too.
//
// Invariants: a part has one ancestor and one heir at the most; what contradicts this is complained
// of. What is freed after boot has neither.
#include "prove/linkage.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <unordered_map>

namespace suture::prove {

class Genealogist {
 public:
  Genealogist(std::deque<Side>& sides, Running& running) : sides_(sides), running_(running) {}

  Result<Linkage> run() {
    for (bool own : {false, true}) {
      for (std::size_t i = 1; i < sides_.size(); ++i) {  // behind the glue
        read(i, sides_[i].pre, own, before_);
        read(i, sides_[i].post, own, after_);
      }
    }
    for (const auto& [object, names] : after_) {
      for (const auto& [name, named] : names) {
        TRY(look_back({object, name}, named));
      }
    }
    for (const auto& [object, names] : before_) {
      for (const auto& [name, named] : names) {
        look_ahead({object, name}, named);
      }
    }
    for (std::size_t next = 0; next < found_.size(); ++next) {
      follow(found_[next].first, found_[next].second);
    }
    part_from_pairings();
    return std::move(out_);
  }

 private:
  using Key = std::pair<std::string_view, std::string_view>;  // object and name
  struct Named {
    std::vector<Place> strong, weak, own;  // own: its file's alone
    bool at_boot = false;                  // a file has it, and it is freed after boot
    // What the linker takes.
    std::optional<Place> choice() const {
      const std::vector<Place>& best = strong.empty() ? weak : strong;
      return best.size() == 1 ? std::optional(best[0]) : std::nullopt;
    }
  };

  using Names = std::map<std::string_view, std::unordered_map<std::string_view, Named>>;

  // A file's own things count where other files see one of that name.
  void read(std::size_t side, const Read& from, bool own, Names& into) {
    const Object& object = from.object;
    const std::string_view whole = sides_[side].unit->object;
    auto& names = into[whole];
    for (std::size_t i = 0; i < object.parts().size(); ++i) {
      const Part& part = object.parts()[i];
      const bool at_boot = is_boot_only(object.section_of(part).name);
      for (std::uint32_t number : part.symbols) {
        const elf::Symbol& symbol = object.elf().symbols()[number];
        const bool is_own = symbol.binding == STB_LOCAL;
        if (is_own != own || (own && !before_[whole].contains(symbol.name) &&
                              !after_[whole].contains(symbol.name))) {
          continue;
        }
        Named& named = names[symbol.name];
        if (at_boot) {
          named.at_boot = named.at_boot || symbol.binding != STB_LOCAL;
          continue;
        }
        auto& list = symbol.binding == STB_LOCAL  ? named.own
                     : symbol.binding == STB_WEAK ? named.weak
                                                  : named.strong;
        list.emplace_back(side, static_cast<std::int32_t>(i));
      }
    }
  }

  static const Named& in(const Names& names, const Key& key) {
    static const Named none;
    auto object = names.find(key.first);
    if (object == names.end()) {
      return none;
    }
    auto it = object->second.find(key.second);
    return it == object->second.end() ? none : it->second;
  }

  static std::optional<Place> in_file(const Named& named, std::size_t side) {
    for (const auto* list : {&named.strong, &named.weak, &named.own}) {
      auto it = std::ranges::find(*list, side, &Place::first);
      if (it != list->end()) {
        return *it;
      }
    }
    return std::nullopt;
  }

  static bool says(const Read& file, std::string_view name) {
    return std::ranges::any_of(file.object.elf().symbols(), [&](const elf::Symbol& symbol) {
      return !symbol.defined() && symbol.name == name;
    });
  }

  Status look_back(const Key& key, const Named& named) {
    const auto now = named.choice();
    if (!now) {
      return {};
    }
    out_.definitions_.emplace(key, *now);
    const Named& old = in(before_, key);
    const auto was = old.choice();
    const auto mine = in_file(old, now->first);
    if (was) {
      if (was->first != now->first) {
        join(*was, *now, true);
        // A weak one that stays beside it means the other from now on.
        auto left = std::ranges::find(named.weak, was->first, &Place::first);
        if (left != named.weak.end()) {
          out_.ancestors_[*left] = Linkage::Ancestor{.pre = was, .address = 0, .replaced = false};
          here_.emplace(*left);
        }
      }
      return {};
    }
    if (mine || old.at_boot) {
      return {};
    }
    const auto running = TRY(running_.global(std::string(key.first), key.second));
    if (running) {
      inherit_running(std::string(key.first), *now, named.strong.empty(), *running);
      return {};
    }
    // One file's own, which now says the name of another's.
    for (const Place& own : old.own) {
      if (!in_file(named, own.first) && says(sides_[own.first].post, key.second)) {
        join(own, *now, false);
      }
    }
    return {};
  }

  void inherit_running(const std::string& object, Place now, bool weak,
                       const Running::Global& running) {
    if (!weak && !running.weak) {
      out_.complaints_.push_back({now, "the running object has it from another file already"});
      return;
    }
    out_.ancestors_[now] =
        Linkage::Ancestor{.pre = std::nullopt, .address = running.address, .replaced = !weak};
    if (!weak) {
      out_.heirs_at_[{object, running.address}] = now;
    }
    here_.emplace(now);
  }

  // All files' before, and now one's own that said it.
  void look_ahead(const Key& key, const Named& named) {
    const auto was = named.choice();
    const Named& left = in(after_, key);
    if (!was || left.choice() || in_file(left, was->first)) {
      return;
    }
    for (const Place& own : left.own) {
      if (!in_file(named, own.first) && says(sides_[own.first].pre, key.second)) {
        join(*was, own, true);
      }
    }
  }

  void join(Place was, Place now, bool for_all) {
    if (auto known = out_.ancestors_.find(now); known != out_.ancestors_.end()) {
      if (known->second.pre != was) {
        out_.complaints_.push_back({now, "two things that run would become it"});
      }
    } else if (!out_.heirs_.emplace(was, now).second) {
      out_.complaints_.push_back({now, "what runs for it would become two things"});
      return;
    } else {
      out_.ancestors_[now] = Linkage::Ancestor{.pre = was, .address = 0, .replaced = true};
      found_.emplace_back(was, now);
    }
    if (for_all) {
      here_.emplace(now);
    }
  }

  // The parts without a pair that a part names and only its file sees, by name without number.
  static std::map<std::string_view, std::vector<std::int32_t>> own_names(
      const Read& file, std::int32_t part, const std::vector<std::int32_t>& pairs) {
    std::map<std::string_view, std::vector<std::int32_t>> out;
    const std::string_view whole = file.object.name(file.object.part(part));
    for (std::size_t i = 0; i < file.object.parts().size(); ++i) {
      const std::string_view piece = file.object.name(file.object.parts()[i]);
      if (static_cast<std::int32_t>(i) != part &&
          (whole.empty() || !piece.starts_with(fmt::format("{}.", whole)))) {
        continue;
      }
      for (const Field& field : file.fields[i]) {
        const std::int32_t target = field.target.part;
        if (target < 0 || pairs[static_cast<std::size_t>(target)] >= 0) {
          continue;
        }
        const Part& meant = file.object.part(target);
        const std::string_view name = file.object.name(meant);
        const bool made = meant.kind != PartKind::data && name.find('.', 1) != name.npos;
        if (!name.empty() && !made && !file.object.global(meant) &&
            !is_copy_as_good(file.object, meant) &&
            !is_boot_only(file.object.section_of(meant).name)) {
          auto& list = out[unnumbered(name)];
          if (std::ranges::find(list, target) == list.end()) {
            list.push_back(target);
          }
        }
      }
    }
    return out;
  }

  void follow(Place was, Place now) {
    const Side& from = sides_[was.first];
    const Side& to = sides_[now.first];
    const auto before = own_names(from.pre, was.second, from.pairing.post_of);
    for (const auto& [name, after] : own_names(to.post, now.second, to.pairing.pre_of)) {
      auto it = before.find(name);
      if (it != before.end() && it->second.size() == 1 && after.size() == 1 && !serves_anew(name) &&
          from.pre.object.part(it->second[0]).kind == to.post.object.part(after[0]).kind) {
        join({was.first, it->second[0]}, {now.first, after[0]}, false);
      }
    }
  }

  void part_from_pairings() {
    for (const auto& [now, ancestor] : out_.ancestors_) {
      Pairing& pairing = sides_[now.first].pairing;
      std::int32_t& pair = pairing.pre_of[static_cast<std::size_t>(now.second)];
      if (pair >= 0) {
        pairing.post_of[static_cast<std::size_t>(pair)] = -1;
        pair = -1;
      }
      if (here_.contains(now)) {
        pairing.come.insert(now.second);
      }
      if (ancestor.pre) {
        sides_[ancestor.pre->first].pairing.gone.insert(ancestor.pre->second);
      }
    }
    for (const auto& [was, now] : out_.heirs_) {
      if (sides_[was.first].pairing.post(was.second) >= 0) {
        out_.complaints_.push_back({now, "what runs for it stays in its file, too"});
      }
    }
  }

  std::deque<Side>& sides_;
  Running& running_;
  Names before_, after_;
  std::vector<std::pair<Place, Place>> found_;  // ancestor and heir
  std::set<Place> here_;  // parts of post that all files meant by their name before
  Linkage out_;
};

Result<Linkage> Linkage::find(std::deque<Side>& sides, Running& running) {
  return Genealogist(sides, running).run();
}

std::optional<Place> Linkage::definition(std::string_view object, std::string_view name) const {
  auto it = definitions_.find(std::pair(object, name));
  return it == definitions_.end() ? std::nullopt : std::optional(it->second);
}

const Linkage::Ancestor* Linkage::ancestor(Place post) const {
  auto it = ancestors_.find(post);
  return it == ancestors_.end() ? nullptr : &it->second;
}

std::optional<Place> Linkage::heir(Place pre) const {
  auto it = heirs_.find(pre);
  return it == heirs_.end() ? std::nullopt : std::optional(it->second);
}

std::optional<Place> Linkage::heir_at(std::string_view object, std::uint64_t address) const {
  auto it = heirs_at_.find(std::pair(std::string(object), address));
  return it == heirs_at_.end() ? std::nullopt : std::optional(it->second);
}

}  // namespace suture::prove
