// SPDX-License-Identifier: GPL-2.0-or-later
//
// A patch of several files, of one object or more, made of assembler texts; and the proof of it.
#pragma once

#include <deque>
#include <list>
#include <map>
#include <string>
#include <vector>

#include "module/moves.h"
#include "support/proven.h"

namespace suture::test {

// A file of an object before and after. What runs is made of `pre`, and of what else is given.
struct Source {
  std::string name, object, pre, post;
};

class Several : public Proving {
 protected:
  // Reads the files, and links each object's together to what runs; `others` are files of objects
  // that the patch does not touch, object and text.
  void files(const std::vector<Source>& sources,
             const std::vector<std::pair<std::string, std::string>>& others = {}) {
    std::map<std::string, std::vector<std::string>> run;
    for (const Source& source : sources) {
      run[source.object].push_back(source.pre);
    }
    for (const auto& [object, text] : others) {
      run[object].push_back(text);
    }
    for (const auto& [object, texts] : run) {
      link_object(object, texts);
    }
    for (const Source& source : sources) {
      read(source);
    }
    std::vector<module::File> all;
    for (const Work& work : works_) {
      all.push_back(module::File{.source = work.source.name,
                                 .run = &objects_.at(work.source.object).run,
                                 .pre = &*work.before,
                                 .post = &*work.after});
    }
    moves_ = module::find_moves(all, symvers_);
  }

  // The refusals' codes and places.
  std::vector<std::string> refusals() const {
    std::vector<std::string> out;
    for (const Error& refusal : moves_.refusals) {
      out.push_back(fmt::format("{} {}", code_name(refusal.code), refusal.where));
    }
    return out;
  }

  // Those of the code itself: places and reasons.
  std::vector<std::string> refusals_of_code() {
    std::vector<std::string> out;
    for (std::size_t i = 0; i < works_.size(); ++i) {
      compare(i);
      for (const Error& refusal : works_[i].diff.refusals) {
        out.push_back(fmt::format("{}: {}", refusal.where, refusal.reason));
      }
    }
    return out;
  }

  Result<module::Linked> link() {
    std::list<module::Binder> binders;
    std::vector<module::LinkInput> inputs;
    for (std::size_t i = 0; i < works_.size(); ++i) {
      Work& work = works_[i];
      compare(i);
      EXPECT_TRUE(work.diff.refusals.empty()) << work.diff.refusals.at(0).reason;
      binders.emplace_back(objects_.at(work.source.object).run, symvers_, work.pre, work.matched);
      inputs.push_back(module::LinkInput{.source = work.source.name,
                                         .post = &*work.after,
                                         .diff = &work.diff,
                                         .binder = &binders.back(),
                                         .file = i});
    }
    return module::link(
        inputs,
        {.glue = glue_,
         .symvers = symvers_,
         .core_exports = metadata_.core == module::Core::suture ? &core_exports_ : nullptr,
         .image_text = 0xffffffff81000000,
         .image_build_id = "abcdef"},
        metadata_);
  }

  Bytes made() {
    auto linked = link();
    EXPECT_TRUE(linked.has_value()) << linked.error().where << linked.error().reason;
    return linked ? linked->module : Bytes{};
  }

  prove::Case about_all() {
    prove::Case about = Proving::about();
    about.units.clear();
    about.find_module = [this](const std::string& name) -> Result<const kernel::ModuleImage*> {
      return &objects_.at(name).image;
    };
    for (const Work& work : works_) {
      prove::Unit& unit = about.units.emplace_back(prove::Unit{.source = work.source.name,
                                                               .object = work.source.object,
                                                               .pre = &work.pre_object,
                                                               .post = &work.post_object});
      for (const auto& [piece, address] : work.matched.addresses) {
        const auto place = objects_.at(work.source.object).run.place(address);
        if (place && work.pre.piece(piece).symbol != 0) {
          unit.defined.emplace(work.pre.piece(piece).symbol,
                               prove::RunPlace{place->first, place->second});
        }
      }
    }
    return about;
  }
  std::string accusations(const Bytes& module) { return all(prove::prove(module, about_all())); }

  // The file of that name.
  auto& work(std::string_view name) {
    return *std::ranges::find(works_, name, [](const auto& one) { return one.source.name; });
  }

 private:
  void compare(std::size_t index) {
    Work& work = works_[index];
    work.diff = diff::compare(
        *work.before, *work.after,
        work.source.object == "vmlinux" ? diff::Home::vmlinux : diff::Home::module,
        diff::Directives{},
        [](std::string_view, elf::AddressArguments) { return elf::AddressFate::leaves; },
        moves_.of[index]);
  }

  struct Object {
    kernel::ModuleImage image;
    match::RunObject run;
  };
  struct Work {
    Source source;
    elf::ObjectFile pre_object, post_object;
    diff::PieceGraph pre, post;
    diff::CodeTables pre_tables, post_tables;
    std::optional<diff::Side> before, after;
    match::MatchResult matched;
    diff::ObjectDiff diff;
  };

  void link_object(const std::string& object, const std::vector<std::string>& texts) {
    const fs::path linked = directory_.path() / (object + ".ko");
    std::vector<std::string> link{
        "gcc-12",        "-r",
        "-nostdlib",     "-o",
        linked.string(), assemble(object + "_self", this_module(object)).string()};
    for (std::size_t i = 0; i < texts.size(); ++i) {
      link.push_back(assemble(fmt::format("{}_run{}", object, i), texts[i]).string());
    }
    auto done = suture::run(Command{.argv = link});
    EXPECT_TRUE(done && done->exit_status == 0) << done->out;
    Object& made = objects_[object];
    made.image = kernel::ModuleImage::open(linked).value();
    made.run = match::RunObject::of_module(made.image, *elf::arch_of(EM_X86_64)).value();
  }

  void read(const Source& source) {
    const elf::Arch& arch = *elf::arch_of(EM_X86_64);
    Work& work = works_.emplace_back();
    work.source = source;
    const std::string stem = fmt::format("file{}", works_.size());
    work.pre_object = elf::ObjectFile::open(assemble(stem + "_pre", source.pre)).value();
    work.post_object = elf::ObjectFile::open(assemble(stem + "_post", source.post)).value();
    work.pre = diff::PieceGraph::build(work.pre_object, arch).value();
    work.post = diff::PieceGraph::build(work.post_object, arch).value();
    work.pre_tables = diff::CodeTables::build(work.pre, glue_.constants).value();
    work.post_tables = diff::CodeTables::build(work.post, glue_.constants).value();
    work.before.emplace(diff::Side{work.pre, work.pre_tables});
    work.after.emplace(diff::Side{work.post, work.post_tables});
    work.matched = match::match(work.pre, objects_.at(source.object).run);
  }

 protected:
  std::map<std::string, Object> objects_;
  std::deque<Work> works_;  // they point at one another's parts
  module::Moves moves_;
};

}  // namespace suture::test
