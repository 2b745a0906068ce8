// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: a patch module that loads and does the wrong thing is the worst that can come of a
// build, and whoever wrote a module cannot be its own witness.
//
// Method: seven questions, each answered from the bytes of the module, the compiled objects and the
// shipped kernel; the last one from the texts, too.
//   1. Would the kernel load it (load.h), and does it say of itself what is true?
//   2. Does its init function hand the core a patch, and what does that redirect (patch_data.h, of
//      one for Suture's core core_data.h and core_redirects.h)? Each redirect is resolved as the
//      core does, and must lie where matching found the function whose new code it leads to.
//   3. Does all that the redirects lead to mean what post means (meaning.h)?
//   4. Is every entry of every table about code one of post's, and none missing?
//   5. Does every function that differs between pre and post, compared anew (changes.h), get
//      redirected, and every one that goes on as another file's (linkage.h)? Does nothing in the
//      module count on what is left out (left_out.h)?
//   6. Can nobody call into it when the kernel has freed it (escapes.h)?
//   7. Are the compiled objects all that the diff changes in this kernel (whole.h)?
//
// Invariant: what is not shown is an accusation; nothing is taken for proven because it is unusual.
#include "prove/prove.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "prove/boot_parts.h"
#include "prove/core_data.h"
#include "prove/core_redirects.h"
#include "prove/escapes.h"
#include "prove/left_out.h"
#include "prove/meaning.h"
#include "prove/patch_data.h"
#include "prove/whole.h"

namespace suture::prove {

namespace {

class Prover {
 public:
  Prover(const Case& about, Proof& proof)
      : about_(about),
        proof_(proof),
        running_(*about.image, about.exports, *about.symvers, about.find_module,
                 about.core_exports) {}

  Status run(Bytes module) {
    const elf::Arch* arch = elf::arch_of(about_.glue->machine());
    if (arch == nullptr) {
      return fail(Code::proof_failed, "the glue", "its architecture is not supported",
                  "use a kernel for x86-64");
    }
    patch_ = TRY(LoadedPatch::load(std::move(module), *arch, running_));
    proof_.loads = true;
    tables_ = TRY(ModuleTables::read(patch_, *arch, *about_.constants));
    TRY(read_units(*arch));
    Meaning meaning(patch_, tables_, running_, sides_, linkage_, *about_.constants, proof_);
    TRY(follow_glue(meaning));
    PatchData data = TRY(read_data(meaning));
    check_identity(meaning, data);
    check_note(meaning);
    for (const Redirect& redirect : data.redirects) {
      follow_redirect(meaning, redirect);
    }
    follow_callbacks(meaning, data);
    for (const auto& [place, address] : new_code_) {
      meaning.expect(place.first, place.second, address);
    }
    meaning.follow();
    meaning.expect_unreached();
    check_core_redirects(meaning, patch_, tables_, running_, sides_, resolved_, data.extents);
    check_alternatives(meaning, *arch, patch_, tables_);
    meaning.check_rest(data.extents);
    check_metadata(meaning, data);
    check_authors_word(meaning, data);
    check_nothing_left_out(meaning);
    check_escapes(meaning);
    check_left_out(meaning, sides_);
    check_lists(meaning, sides_);
    if (about_.scope != nullptr) {
      check_whole(*about_.scope, sides_, running_, proof_);
    } else {
      proof_.unseen.emplace_back("whether it holds all objects that its diff changes");
    }
    return {};
  }

 private:
  Status read_units(const elf::Arch& arch) {
    Side& glue = sides_.emplace_back();
    glue.post = TRY(Read::open(*about_.glue, arch, *about_.constants));
    const std::size_t parts = glue.post.object.parts().size();
    glue.pairing.pre_of.resize(parts, -1);
    glue.changes.differs.resize(parts, false);
    glue.changes.stale.resize(parts, false);
    for (const Unit& unit : about_.units) {
      Side& side = sides_.emplace_back();
      side.unit = &unit;
      side.pre = TRY(Read::open(*unit.pre, arch, *about_.constants));
      side.post = TRY(Read::open(*unit.post, arch, *about_.constants));
      side.pairing = pair_up(side.pre, side.post);
      side.word = TRY(read_authors_word(side.post.object));
      std::ranges::copy(unit.ignored, std::back_inserter(side.word.ignored));
      for (const auto& [symbol, place] : unit.defined) {
        const elf::Symbol& named = unit.pre->symbols().at(symbol);
        const std::int32_t part =
            named.defined() ? side.pre.object.part_at(named.section, named.value) : -1;
        if (part >= 0 && side.pre.object.part(part).kind == PartKind::code) {
          side.functions_at.emplace(TRY(running_.address(unit.object, place)), part);
        }
      }
    }
    // What moves between the units is to be known before each is compared with itself.
    linkage_ = TRY(Linkage::find(sides_, running_));
    for (std::size_t i = 1; i < sides_.size(); ++i) {
      Side& side = sides_[i];
      std::set<std::string, std::less<>> ignored;
      for (const auto& [name, reason] : side.word.ignored) {
        ignored.insert(name);
      }
      side.changes =
          find_changes(side.pre, side.post, side.pairing, side.unit->object != "vmlinux", ignored);
      proof_.compared += side.post.object.parts().size();
    }
    return {};
  }

  // The struct module of the glue leads to its init function, and that to the patch. Its parameter,
  // of which there is one at the most, is found by the loader, too.
  Status follow_glue(Meaning& meaning) {
    const Object& glue = sides_[0].post.object;
    for (std::size_t i = 0; i < glue.parts().size(); ++i) {
      const std::string& section = glue.section_of(glue.parts()[i]).name;
      const bool self = section == ".gnu.linkonce.this_module";
      const LoadedPatch::Area* area = patch_.area(section);
      if ((self || section == "__param") && area != nullptr) {
        meaning.expect(0, static_cast<std::int32_t>(i), area->address);
        module_at_ = self ? area->address : module_at_;
      }
    }
    meaning.follow();
    if (meaning.patch_address() == 0) {
      return fail(Code::proof_failed, "the glue", "the module's init function registers no patch",
                  "report this with the diff");
    }
    return {};
  }

  Result<PatchData> read_data(const Meaning& meaning) {
    if (!running_.has_suture_core()) {
      return read_patch_data(patch_, meaning.patch_address(), *about_.constants);
    }
    if (patch_.core_patch() != meaning.patch_address()) {
      return fail(Code::proof_failed, "suture_patch",
                  "the core binds another patch than the module's init function registers",
                  "report this with the diff");
    }
    CorePatch core = TRY(read_core_patch(patch_, meaning.patch_address()));
    const kernel::RunSymbol* text = about_.image->symbols().unique("_text");
    if (text == nullptr || core.image_text != text->address) {
      return fail(Code::proof_failed, "suture_patch.image_text", "it is not where the image starts",
                  "report this with the diff");
    }
    if (core.image_build_id != about_.image->build_id()) {
      return fail(Code::proof_failed, "suture_patch.image_build_id", "it is another image's",
                  "report this with the diff");
    }
    return std::move(core.data);
  }

  void check_identity(Meaning& meaning, const PatchData& data) {
    auto one = [&](std::string_view key) {
      const auto found = patch_.modinfo(key);
      return found.size() == 1 ? found[0] : std::string_view{};
    };
    if (data.module != module_at_) {
      meaning.accuse("the patch's mod", "it is not this module");
    }
    const bool suture = running_.has_suture_core();
    if (one("livepatch") != (suture ? "" : "Y") || one("suture") != (suture ? "Y" : "") ||
        one("depends") != (suture ? "suture" : "") ||
        one("suture.core") != (suture ? "suture" : "livepatch") || one("license") != "GPL") {
      meaning.accuse(".modinfo", "it is not marked as a patch for its core under the GPL");
    }
    if (one("suture.release") != about_.image->release() ||
        !one("vermagic").starts_with(about_.image->release() + " ")) {
      meaning.accuse(".modinfo", "it is for another release than " + about_.image->release());
    }
    if (one("suture.replace") != (data.replaces ? "1" : "0")) {
      meaning.accuse(".modinfo", "it says another thing about replacing than the patch does");
    }
  }

  // The running machine shows the note, of which the kernel knows only owner and length.
  void check_note(Meaning& meaning) {
    constexpr std::uint64_t header = 20;  // sizes, type, and the owner "Suture" padded
    const LoadedPatch::Area* note = patch_.area(".note.suture");
    const std::string stated = patch_.modinfo_under("suture.");
    const auto size = note == nullptr ? std::nullopt : read_le<std::uint32_t>(note->bytes, 4);
    const auto text = size ? slice(note->bytes, header, *size) : std::nullopt;
    if (!text || as_text(*text) != stated || read_le<std::uint32_t>(note->bytes, 0) != 7U ||
        read_le<std::uint32_t>(note->bytes, 8) != 1U || read_cstr(note->bytes, 12) != "Suture") {
      meaning.accuse(".note.suture", "it says another thing than .modinfo");
    }
  }

  void follow_redirect(Meaning& meaning, const Redirect& redirect) {
    const std::string where =
        fmt::format("redirect of {}:{},{}", redirect.object, redirect.name, redirect.position);
    auto address = running_.livepatch_symbol(redirect.object, redirect.name, redirect.position);
    if (!address) {
      meaning.accuse(where, address.error().reason);
      return;
    }
    if (!taken_.insert(*address).second) {
      meaning.accuse(where, "another one redirects the same function");
    }
    bool gone = false;
    for (std::size_t i = 1; i < sides_.size(); ++i) {
      const Side& side = sides_[i];
      auto found = side.functions_at.find(*address);
      if (found == side.functions_at.end() || side.unit->object != redirect.object) {
        continue;
      }
      const Place from{i, found->second};
      const std::int32_t post = side.pairing.post(found->second);
      const auto to = post < 0 ? linkage_.heir(from) : std::optional(Place{i, post});
      if (!to) {
        gone = true;  // of this file, which may have had a weak one beside it
        continue;
      }
      if (!side.pre.tables.traceable[static_cast<std::size_t>(found->second)]) {
        meaning.accuse(where, "the function has no entry that ftrace can redirect");
      } else {
        accept(redirect, from, *to);
      }
      return;
    }
    if (auto to = linkage_.heir_at(redirect.object, *address)) {
      accept(redirect, {to->first, -1}, *to);
      return;
    }
    meaning.accuse(where, gone ? "the function is gone after the patch"
                               : fmt::format("no function of the compiled files runs at {}",
                                             running_.describe(*address)));
  }

  void accept(const Redirect& redirect, Place from, Place to) {
    Side& side = sides_[to.first];
    ++proof_.redirects;
    side.redirected.insert(to.second);
    new_code_.emplace_back(to, redirect.to);
    resolved_.push_back(Resolved{from.first, from.second, to.first, to.second, &redirect});
    functions_.insert(fmt::format("{} {} {} {}", redirect.object, redirect.name, redirect.position,
                                  side.unit->source));
  }

  // Every callback is one that a file asks for, and all of those are there.
  void follow_callbacks(Meaning& meaning, const PatchData& data) {
    std::size_t asked = 0;
    for (std::size_t i = 1; i < sides_.size(); ++i) {
      const Side& side = sides_[i];
      for (const auto& [kind, part] : side.word.callbacks) {
        ++asked;
        auto given = std::ranges::find_if(data.callbacks, [&](const Callback& callback) {
          return callback.object == side.unit->object && callback.kind == kind;
        });
        if (given == data.callbacks.end()) {
          meaning.accuse(fmt::format("{}: {}", side.unit->source, kind), "the patch lacks it");
        } else {
          new_code_.emplace_back(std::pair(i, part), given->to);
        }
      }
    }
    if (data.callbacks.size() > asked) {
      meaning.accuse("the callbacks", "there is one that no file asks for");
    }
  }

  void check_stated(Meaning& meaning, std::string_view key, const std::set<std::string>& wanted) {
    const auto found = patch_.modinfo(key);
    const std::set<std::string> stated(found.begin(), found.end());
    if (stated != wanted || stated.size() != found.size()) {
      meaning.accuse(".modinfo", fmt::format("{} does not list what the module holds", key));
    }
  }

  // What .modinfo says for people and for `suture load` must be so.
  void check_metadata(Meaning& meaning, const PatchData& data) {
    std::set<std::string> fresh;
    std::set<std::string> objects;
    auto add_object = [&](const std::string& object) {
      auto id = running_.build_id(object);
      objects.insert(fmt::format("{} {}", object, id ? *id : std::string{}));
    };
    for (const auto& [place, address] : meaning.placed()) {
      const Side& side = sides_[place.first];
      const Part& part = side.post.object.part(place.second);
      if (side.unit == nullptr || part.kind != PartKind::code) {
        continue;
      }
      add_object(side.unit->object);
      const std::string_view name = side.post.object.name(part);
      if (!side.redirected.contains(place.second) && split_from(name).empty()) {
        fresh.insert(fmt::format("{} {} {}", side.unit->object, name, side.unit->source));
      }
    }
    for (const Redirect& redirect : data.redirects) {
      add_object(redirect.object);
    }
    check_stated(meaning, "suture.func", functions_);
    check_stated(meaning, "suture.new", fresh);
    check_stated(meaning, "suture.object", objects);
  }

  void check_authors_word(Meaning& meaning, const PatchData& data) {
    std::set<std::string> states;
    for (const auto& [id, version] : data.states) {
      states.insert(fmt::format("{} {}", id, version));
    }
    if (data.states.size() != states.size()) {
      meaning.accuse("the states", "a system state is there twice");
    }
    std::set<std::string> callbacks;
    std::set<std::string> ignored;
    std::set<std::string> taken_back;
    for (const Side& side : sides_) {
      const std::string source = side.unit == nullptr ? std::string{} : side.unit->source;
      for (const auto& [id, version] : side.word.states) {
        if (!states.contains(fmt::format("{} {}", id, version))) {
          meaning.accuse(source, fmt::format("the patch lacks its system state {}", id));
        }
      }
      for (const auto& [kind, part] : side.word.callbacks) {
        callbacks.insert(fmt::format("{} {} {} {}", side.unit->object, kind,
                                     side.post.object.name(side.post.object.part(part)), source));
      }
      for (const auto& [name, reason] : side.word.ignored) {
        ignored.insert(fmt::format("{} {} {}", source, name, reason));
      }
      for (const auto& [name, reason] : side.word.taken_back) {
        taken_back.insert(fmt::format("{} {} {}", source, name, reason));
      }
    }
    check_stated(meaning, "suture.state", states);
    check_stated(meaning, "suture.callback", callbacks);
    check_stated(meaning, "suture.ignored", ignored);
    check_stated(meaning, "suture.taken_back", taken_back);
  }

  // A module that may be freed has handed out no address of its own. That one which says that it
  // stays has no exit function is a part of what the glue must be (Meaning::form).
  void check_escapes(Meaning& meaning) {
    if (!patch_.modinfo("suture.pinned").empty()) {
      return;
    }
    if (const auto escape = find_escape(sides_, linkage_, meaning.placed())) {
      meaning.accuse(fmt::format("{}: {}", escape->source, escape->what),
                     fmt::format("{} gives its address to others, who may use it after the patch "
                                 "has been taken back, and the module may be freed then",
                                 escape->by));
    }
  }

  void check_linkage(Meaning& meaning) {
    auto accuse = [&](Place post, std::string what) {
      const Side& side = sides_[post.first];
      meaning.accuse(fmt::format("{}: {}", side.unit->source,
                                 side.post.object.name(side.post.object.part(post.second))),
                     std::move(what));
    };
    for (const Linkage::Complaint& complaint : linkage_.complaints()) {
      accuse(complaint.post, complaint.what);
    }
    for (const auto& [post, ancestor] : linkage_.ancestors()) {
      const Side& side = sides_[post.first];
      const Part& part = side.post.object.part(post.second);
      if (part.kind == PartKind::data) {
        if (ancestor.pre && !meaning.same_contents(*ancestor.pre, post)) {
          accuse(post, "it moves here and its first contents change");
        }
      } else if (ancestor.replaced && !side.redirected.contains(post.second)) {
        accuse(post, "what runs is another file's definition, and nothing redirects it");
      }
    }
  }

  void check_nothing_left_out(Meaning& meaning) {
    check_linkage(meaning);
    for (const Side& side : sides_) {
      if (side.unit == nullptr) {
        continue;
      }
      for (const Error& lost : side.changes.lost) {
        meaning.accuse(fmt::format("{}: {}", side.unit->source, lost.where), lost.reason);
      }
      for (std::size_t i = 0; i < side.changes.stale.size(); ++i) {
        const auto index = static_cast<std::int32_t>(i);
        const std::int32_t before = side.pairing.pre(index);
        if (side.changes.stale[i] && before >= 0 && !side.redirected.contains(index) &&
            side.pre.tables.traceable[static_cast<std::size_t>(before)] &&
            !is_boot_only(side.pre.object.section_of(side.pre.object.part(before)).name)) {
          meaning.accuse(fmt::format("{}: {}", side.unit->source,
                                     side.post.object.name(side.post.object.part(index))),
                         "it means something else after the diff, and nothing redirects it");
        }
      }
    }
  }

  const Case& about_;
  Proof& proof_;
  Running running_;
  LoadedPatch patch_;
  ModuleTables tables_;
  std::deque<Side> sides_;  // the glue first
  Linkage linkage_;
  std::uint64_t module_at_ = 0;
  std::set<std::uint64_t> taken_;  // run addresses that are redirected
  std::vector<std::pair<Place, std::uint64_t>> new_code_;
  std::vector<Resolved> resolved_;
  std::set<std::string> functions_;  // as .modinfo should list them
};

}  // namespace

Proof prove(Bytes module, const Case& about) {
  Proof proof;
  Status done = Prover(about, proof).run(std::move(module));
  if (!done) {
    proof.accusations.push_back(std::move(done).error());
  }
  return proof;
}

}  // namespace suture::prove
