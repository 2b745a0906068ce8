// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: a header may be included by every unit of the kernel, most of which see nothing of the
// change, and only a build of the whole kernel knows which do.
//
// Method: the units that may include it and name something that the change affects
// (source/reach.h). Where only macros change, the preprocessor reads both sides of these: equal
// text compiles to equal code. Where a function or a type changes, every text that has the header
// differs, and the compiler may as well be asked at once.
//
// Some readers are no units: the link script, the C files whose numbers go into headers for
// assembly, and programs of the build (header_readers.h). What they make is in the kernel already,
// and cannot be patched.
//
// Invariant: a unit is left out only where it names nothing that the change affects, or where its
// text is the same on both sides.
#include "patch/headers.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/parallel.h"
#include "base/process.h"
#include "kernel/toolchain.h"
#include "patch/header_readers.h"
#include "patch/post_cache.h"
#include "patch/shadow_tree.h"
#include "source/reach.h"
#include "source/type_changes.h"

namespace suture::patch {

namespace {

// Each candidate costs two runs of the preprocessor, each that differs two of the compiler.
constexpr std::size_t most_candidates = 2500;
constexpr std::size_t most_units = 1000;

// What is made of the tree beside units, with a unit that is compiled as it is.
struct Maker {
  std::string_view source, like;
  bool script = false;  // the linker's; otherwise numbers for assembly
};
constexpr Maker makers[] = {
    {"kernel/bounds.c", "kernel/fork.c", false},
    {"arch/x86/kernel/asm-offsets.c", "arch/x86/kernel/setup.c", false},
    {"arch/x86/kvm/kvm-asm-offsets.c", "arch/x86/kvm/x86.c", false},
    {"arch/x86/kernel/vmlinux.lds.S", "arch/x86/kernel/setup.c", true},
};

// What the preprocessor or the compiler makes of one source on both sides.
class Texts {
 public:
  Texts(const kernel::Kernel& kernel, const Intake& intake, const WorkPlace& place)
      : kernel_(kernel), intake_(intake), place_(place) {}

  // A unit whose text the preprocessor refuses, or that went past a patched file, counts as
  // changed: it is left to the compiler to explain.
  Result<bool> same(const source::CompileCommand& command, std::size_t number) const {
    auto both = TRY(run_both(command, {"-E", "-P"}, number));
    return both && same_tokens(both->first, both->second);
  }

  // The numbers that go into a header for assembly. Its units say whether the text is good.
  Result<bool> same_numbers(const source::CompileCommand& command, std::size_t number) const {
    auto both = TRY(run_both(command, {"-S", "-w"}, number));
    return both && numbers_in(both->first) == numbers_in(both->second);
  }

 private:
  using Both = std::pair<std::string, std::string>;

  Result<std::optional<Both>> run_both(const source::CompileCommand& command,
                                       const std::vector<std::string>& what,
                                       std::size_t number) const {
    fs::path pre = place_.objects / fmt::format("{}.pre.i", number);
    fs::path post = place_.objects / fmt::format("{}.post.i", number);
    fs::path read = place_.objects / fmt::format("{}.post.d", number);
    auto argv = [&](const fs::path& output) {
      std::vector<std::string> out = options_of(command);
      out.insert(out.end(), what.begin(), what.end());
      out.insert(out.end(), {"-o", output.string(), command.source});
      return out;
    };
    std::vector<std::string> watched = argv(post);
    watched.push_back(fmt::format("-Wp,-MMD,{}", read.string()));
    auto run_in = [&](const fs::path& directory, const std::vector<std::string>& words) {
      return run(
          kernel::in_toolchain(kernel_, {.argv = words, .directory = directory}, place_.objects));
    };
    Finished before = TRY(run_in(kernel_.source, argv(pre)));
    Finished after = TRY(run_in(place_.shadow, watched));
    std::optional<Both> out;
    if (before.exit_status == 0 && after.exit_status == 0 &&
        find_unpatched(TRY(files_read(read)), intake_.files, kernel_.source, place_.shadow)
            .empty()) {
      out.emplace(TRY(read_text(pre)), TRY(read_text(post)));
    }
    std::error_code ec;
    for (const fs::path& file : {pre, post, read}) {
      fs::remove(file, ec);
    }
    return out;
  }

  // Lines like ".ascii "->NAME $12 what it is"".
  static std::string numbers_in(std::string_view assembly) {
    std::string out;
    for (std::size_t at = assembly.find("\"->"); at != std::string_view::npos;
         at = assembly.find("\"->", at + 1)) {
      out += assembly.substr(at, assembly.find('\n', at) - at);
      out += '\n';
    }
    return out;
  }

  const kernel::Kernel& kernel_;
  const Intake& intake_;
  const WorkPlace& place_;
};

std::unexpected<Error> cannot_reach(const std::string& where, const std::string& reason) {
  return fail(Code::unsupported_file, where, reason,
              "keep what it sees of the header as it is, or reboot into a kernel with the change");
}

// What reads headers: the units, then what is made beside them.
struct Readers {
  std::vector<source::IncludeWay> ways;
  std::vector<source::Reader> all;
  std::vector<const Maker*> made;
};

Readers readers_of(const kernel::Kernel& kernel, const kernel::Units& units) {
  Readers out;
  std::map<std::uint32_t, std::uint32_t> by_list;
  std::map<source::IncludeWay, std::uint32_t> numbers;
  auto way_of = [&](const kernel::Unit& unit) {
    auto [it, added] = by_list.emplace(unit.compiler, 0);
    if (added) {
      source::IncludeWay way = source::include_way(units.compiler(unit), kernel.source);
      auto [number, is_new] = numbers.emplace(way, static_cast<std::uint32_t>(out.ways.size()));
      if (is_new) {
        out.ways.push_back(std::move(way));
      }
      it->second = number->second;
    }
    return it->second;
  };
  for (const kernel::Unit& unit : units.all()) {
    out.all.push_back({unit.path, way_of(unit)});
  }
  for (const Maker& maker : makers) {
    std::vector<const kernel::Unit*> like = units.of_source(maker.like);
    if (!like.empty() && fs::exists(kernel.source / maker.source)) {
      out.all.push_back({std::string(maker.source), way_of(*like.front())});
      out.made.push_back(&maker);
    }
  }
  return out;
}

Result<source::SourceIndex> open_index(const kernel::Kernel& kernel, Readers& readers) {
  return source::SourceIndex::open(kernel.source, std::move(readers.ways), std::move(readers.all),
                                   kernel.derived / "source-index");
}

class HeaderUsers {
 public:
  HeaderUsers(const kernel::Kernel& kernel, const kernel::Units& units, const Intake& intake,
              const WorkPlace& place, bool all_units, const kernel::Progress& progress)
      : kernel_(kernel),
        units_(units),
        intake_(intake),
        place_(place),
        all_units_(all_units),
        progress_(progress),
        texts_(kernel, intake, place) {}

  Result<Reached> run() {
    TRY(look_outside());
    progress_("looking for what sees the changed headers");
    Readers readers = readers_of(kernel_, units_);
    source::SourceIndex index = TRY(open_index(kernel_, readers));
    made_ = std::move(readers.made);
    reach_ = TRY(source::reach(index, kernel_.source, headers()));
    out_.reason = reach_.reason;
    TRY(take_candidates(index.readers()));
    TRY(compare_texts());
    return std::move(out_);
  }

 private:
  std::vector<source::ChangedFile> headers() const {
    std::vector<source::ChangedFile> out;
    std::ranges::copy_if(intake_.files, std::back_inserter(out),
                         [&](const source::ChangedFile& file) {
                           return std::ranges::binary_search(intake_.touched.headers, file.path);
                         });
    return out;
  }

  // What scripts and programs take from a header stands outside of its functions.
  Status look_outside() const {
    for (const source::ChangedFile& file : headers()) {
      const std::string& header = file.path;
      if (!source::may_change_types(file.before, file.after)) {
        continue;
      }
      // Assembly that is made for its numbers is compared with them below.
      if (auto made = units_.made_of(header); !made.empty() && !made.ends_with("asm-offsets.s")) {
        return cannot_reach(header, fmt::format("kbuild makes {} of it, too", made));
      }
      auto reader =
          TRY(reader_outside(kernel_.source, units_, header, kernel_.derived / "header-readers"));
      if (reader) {
        return cannot_reach(
            header, fmt::format("{} reads it to make something else of it, which is in the kernel "
                                "already and is not made anew",
                                *reader));
      }
    }
    return {};
  }

  // Whom the preprocessor or the compiler is asked about.
  Status take_candidates(const std::vector<source::Reader>& readers) {
    bool read = false;
    for (std::size_t i = 0; i < readers.size(); ++i) {
      const std::string& path = readers[i].source;
      read = read || reach_.users[i];
      bool named = std::ranges::binary_search(intake_.touched.sources, path);
      out_.users += reach_.users[i] && i < units_.all().size() ? 1 : 0;
      if (named || !reach_.candidates[i]) {
        continue;
      }
      if (i >= units_.all().size()) {
        TRY(check_made(*made_[i - units_.all().size()]));
        continue;
      }
      // Before the kernel runs: nothing of it is left when a patch comes.
      if (path.starts_with("arch/x86/boot/")) {
        continue;
      }
      ++out_.candidates;
      for (source::CompileCommand& command : source::commands_of(units_, units_.all()[i])) {
        commands_.push_back(std::move(command));
      }
    }
    if (!read && intake_.touched.sources.empty()) {
      return fail(Code::not_in_kernel, intake_.touched.headers.front(),
                  fmt::format("none of the {} files that this kernel is made of includes it",
                              units_.all().size()),
                  "leave the header out of the diff: this kernel is configured without its users");
    }
    return check_number("name what the change affects", out_.candidates, most_candidates);
  }

  Status check_number(std::string_view what, std::size_t number, std::size_t most) const {
    if (number <= most || all_units_) {
      return {};
    }
    std::string why = reach_.reason;
    if (why.empty()) {
      why = "these names change:";
      for (std::size_t i = 0; i < std::min<std::size_t>(reach_.names.size(), 8); ++i) {
        why += " " + reach_.names[i];
      }
      why += reach_.names.size() > 8 ? " and others" : "";
    }
    return fail(Code::header_changed, intake_.touched.headers.front(),
                fmt::format("{} of this kernel's files {}, more than the {} that are compiled "
                            "unasked; {}",
                            number, what, most, why),
                "move the change into the .c files that need it, or compile them all with "
                "--all-units");
  }

  Status check_made(const Maker& maker) const {
    const kernel::Unit& like = *units_.of_source(maker.like).front();
    source::CompileCommand command = source::commands_of(units_, like).front();
    std::ranges::replace(command.compiler, command.source, std::string(maker.source));
    command.source = maker.source;
    if (maker.script) {
      command.compiler.insert(command.compiler.end(), {"-U", "x86", "-D__ASSEMBLY__",
                                                       "-D__ASSEMBLER__", "-DLINKER_SCRIPT"});
    }
    TRY(make_way(command.source, tree_paths(kernel_, place_)));
    bool same = maker.script ? TRY(texts_.same(command, 0)) : TRY(texts_.same_numbers(command, 0));
    if (same) {
      return {};
    }
    return cannot_reach(command.source,
                        maker.script
                            ? "the changed header changes the script that the kernel was linked by"
                            : "the changed header changes numbers that assembly was made with");
  }

  Status compare_texts() {
    const bool ask_the_compiler = reach_.text_differs;
    std::vector<Result<bool>> same(commands_.size(), false);
    for (const source::CompileCommand& command : commands_) {
      TRY(make_way(command.source, tree_paths(kernel_, place_)));
    }
    auto is_assembly = [](const source::CompileCommand& c) { return c.source.ends_with(".S"); };
    if (!commands_.empty()) {
      progress_(fmt::format("preprocessing {} files", commands_.size()));
    }
    parallel_for(commands_.size(), [&](std::size_t i) {
      const bool other = is_assembly(commands_[i]) || is_other_program(commands_[i].path());
      if (other || !ask_the_compiler) {
        same[i] = texts_.same(commands_[i], i);
      }
    });
    for (std::size_t i = 0; i < commands_.size(); ++i) {
      if (TRY(std::move(same[i]))) {
        continue;
      }
      if (is_assembly(commands_[i])) {
        return cannot_reach(commands_[i].source,
                            "the changed header changes this assembly file, which cannot be "
                            "replaced function by function");
      }
      if (is_other_program(commands_[i].path())) {
        return cannot_reach(commands_[i].source,
                            "the changed header changes this file, which is part of a program of "
                            "its own (the vDSO, start-up code), not of the running kernel's text");
      }
      out_.commands.push_back(std::move(commands_[i]));
    }
    return check_number("see another text", out_.commands.size(), most_units);
  }

  const kernel::Kernel& kernel_;
  const kernel::Units& units_;
  const Intake& intake_;
  const WorkPlace& place_;
  const bool all_units_;
  const kernel::Progress& progress_;
  Texts texts_;
  std::vector<const Maker*> made_;  // the readers behind the units
  source::Reach reach_;
  std::vector<source::CompileCommand> commands_;
  Reached out_;
};

std::string_view take_line(std::string_view& text) {
  while (!text.empty() && text[0] == '\n') {
    text.remove_prefix(1);
  }
  std::string_view line = text.substr(0, text.find('\n'));
  text.remove_prefix(line.size());
  return line;
}

}  // namespace

bool same_tokens(std::string_view a, std::string_view b) {
  while (true) {
    std::string_view line = take_line(a);
    if (line != take_line(b)) {
      return false;
    }
    if (line.empty()) {
      return true;
    }
  }
}

Status index_headers(const kernel::Kernel& kernel, const kernel::Progress& progress) {
  kernel::Units units = TRY(kernel::Units::open(kernel, progress));
  progress("reading which files include which headers");
  Readers readers = readers_of(kernel, units);
  TRY(open_index(kernel, readers));
  return {};
}

Result<Reached> reached_units(const kernel::Kernel& kernel, const kernel::Units& units,
                              const Intake& intake, const WorkPlace& place, bool all_units,
                              const kernel::Progress& progress) {
  return HeaderUsers(kernel, units, intake, place, all_units, progress).run();
}

}  // namespace suture::patch
