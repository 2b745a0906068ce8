// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: what a kernel is made of is known to kbuild alone, and kbuild tells it only while it
// builds. Some of its sources and headers are not there before that either.
//
// Method: `make -n ./` of the whole tree prints the command of every object without running one
// (dry_run.h); -B has it print those too that are there already. Even under -n make runs recipes of
// submakes, remakes the makefiles that it includes, and probes the compiler in a scratch directory
// in the tree; so the tree is declared prepared (-o prepare), the configuration is declared in step
// (may-sync-config=, which since 6.2 would skip asking the compiler too, but for need-compiler=1),
// and the scratch directory is put elsewhere (TMPOUT=). One job at a time keeps the lines whole.
// The C files and headers that recipes name and that are not there are then asked for, each of the
// makefile of its directory; the goal that asks is put beside kbuild's own by a makefile that make
// reads first (MAKEFILES).
//
// Rust is compiled by recipes that run even under -n. So the makefiles are told that there is none,
// its recipe for single files does nothing, and the C file by which Rust calls inline functions is
// asked for by its name.
//
// With CONFIG_X86_KERNEL_IBT objtool runs on the linked vmlinux and on linked modules, never on an
// object alone. What we compile ends in a module of our own, so it gets the objtool command that
// kbuild has for a module of one file: an external one, made up for the question.
//
// Invariant: a list is there only if kbuild could say all of the kernel, and then everything that
// it generates of C is there too.
#include "kernel/make_units.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <thread>

#include "kernel/cache.h"
#include "kernel/dry_run.h"
#include "kernel/included_files.h"
#include "kernel/prepare.h"
#include "kernel/toolchain.h"
#include "kernel/unit_list.h"

namespace suture::kernel {

namespace {

constexpr const char* remedy = "start from the unchanged source, and install what make misses";

struct Kbuild {
  PreparedTree about;
  std::string arch;
  std::string compiler;
  bool objtool_at_link = false;
  bool rust = false;
};

Result<Kbuild> kbuild_of(const PreparedTree& about) {
  std::string config = TRY(read_text(about.config));
  ConfigIdentity identity = TRY(config_identity(config, about.config.string()));
  return Kbuild{.about = about,
                .arch = identity.arch,
                .compiler = TRY(find_compiler(identity.compiler_text, about.toolchain)),
                .objtool_at_link = has_option(config, "CONFIG_X86_KERNEL_IBT"),
                .rust = has_option(config, "CONFIG_RUST")};
}

Command make_command(const Kbuild& kbuild, const fs::path& scratch) {
  Command make =
      kbuild_command(kbuild.about.tree, kbuild.arch, kbuild.compiler, kbuild.about.release);
  make.argv.insert(make.argv.end(), {"-k", "-o", "prepare", "may-sync-config=", "need-compiler=1",
                                     fmt::format("TMPOUT={}/$$$$", scratch.string())});
  if (kbuild.rust) {
    make.argv.insert(make.argv.end(), {"CONFIG_RUST=", "rule_rustc_o_rs=@:"});
  }
  return make;
}

// The lines in which make says what went wrong.
bool is_complaint(std::string_view line) {
  return line.starts_with("make") && line.find(": *** ") != std::string_view::npos;
}

// Takes in what `make -n` says about the goals. Beside the tree, `readable` is looked into.
Status dry_run(const Kbuild& kbuild, const std::vector<std::string>& goals,
               std::vector<fs::path> readable, DryRun& said) {
  TempDir scratch = TRY(TempDir::create(temporary_directory(), "suture-probe"));
  Command make = make_command(kbuild, scratch.path());
  make.argv.insert(make.argv.end(), {"-n", "-B"});
  make.argv.insert(make.argv.end(), goals.begin(), goals.end());
  readable.push_back(kbuild.about.tree);
  Status taken;
  std::string complaints;
  make = in_toolchain(kbuild.about.toolchain, std::move(make), readable, {scratch.path()});
  Finished finished = TRY(run_lines(make, [&](std::string_view line) {
    if (is_complaint(line) && complaints.size() < 2000) {
      complaints.append(line).append("\n");
    }
    if (taken) {
      taken = said.take(line);
    }
  }));
  TRY(std::move(taken));
  if (finished.exit_status != 0) {
    return fail(Code::prepare_failed, kbuild.about.tree.string(),
                fmt::format("'make -n {}' ended with status {}:\n{}", goals.back(),
                            finished.exit_status, complaints),
                remedy);
  }
  return {};
}

// Everything that the kernel is made of.
Result<DryRun> dry_run_of_kernel(const Kbuild& kbuild) {
  DryRun said;
  TRY(dry_run(kbuild, {"./"}, {}, said));
  const std::string helpers = "rust/helpers/helpers";
  if (kbuild.rust && fs::exists(kbuild.about.tree / (helpers + ".c"))) {
    TRY(dry_run(kbuild, {helpers + ".o"}, {}, said));
  }
  return said;
}

// The objtool command of a module that is one file.
Result<std::vector<std::string>> module_objtool(const Kbuild& kbuild) {
  TempDir scratch = TRY(TempDir::create(temporary_directory(), "suture-probe"));
  const fs::path probe = scratch.path() / "probe";
  TRY(make_directories(probe));
  TRY(write_file(probe / "Makefile", "obj-m := probe.o\n"));
  TRY(write_file(probe / "probe.c", "\n"));
  DryRun said;
  TRY(dry_run(kbuild, {fmt::format("M={}", probe.string()), "probe.o"}, {scratch.path()}, said));
  const std::vector<Unit> units = said.units();
  auto found = std::ranges::find_if(
      units, [](const Unit& unit) { return fs::path(unit.object).filename() == "probe.o"; });
  if (found == units.end()) {
    return fail(Code::prepare_failed, kbuild.about.tree.string(),
                "the kernel's build does not say how it makes a module of one file", remedy);
  }
  std::vector<std::string> words = words_of(said.lists().lines().at(found->objtool), *found);
  // Newer kernels call it by its full path, but the tree has another one once it is in its place.
  const std::string tree = kbuild.about.tree.string() + "/";
  for (std::string& word : words) {
    if (word.starts_with(tree)) {
      word = "./" + word.substr(tree.size());
    }
  }
  return words;
}

Result<std::string> text_of(const Kbuild& kbuild, const DryRun& said) {
  const fs::path& tree = kbuild.about.tree;
  ListParts parts{.lists = said.lists(),
                  .units = said.units(),
                  .included = included_sources(tree, kbuild.arch),
                  .made = said.inputs()};
  std::erase_if(parts.made, [&](const auto& made) {
    return !fs::is_regular_file(tree / made.first) || made.first.ends_with(".o");
  });
  if (kbuild.objtool_at_link) {
    const std::vector<std::string> objtool = TRY(module_objtool(kbuild));
    for (Unit& unit : parts.units) {
      unit.objtool = parts.lists.number_of(objtool, unit);
    }
  }
  return list_text(parts);
}

// What recipes name and the tree does not have, by the directory whose makefile may make it.
using Missing = std::map<std::string, std::vector<std::string>>;

Missing missing_files(const DryRun& said, const fs::path& tree) {
  Missing out;
  for (const std::string& file : said.files()) {
    fs::path directory = fs::path(file).parent_path();
    if (directory.empty() || fs::exists(tree / file) ||
        !fs::is_directory(tree / *directory.begin())) {
      continue;
    }
    while (!directory.empty() && !fs::exists(tree / directory / "Makefile") &&
           !fs::exists(tree / directory / "Kbuild")) {
      directory = directory.parent_path();
    }
    if (!directory.empty()) {
      out[directory.string()].push_back(file);
    }
  }
  return out;
}

// The file that make has no rule for, where it is one that was asked for itself.
std::string_view without_rule(std::string_view complaint) {
  constexpr std::string_view words = "No rule to make target '";
  std::size_t at = complaint.find(words);
  if (at == std::string_view::npos || complaint.contains("', needed by '")) {
    return {};
  }
  complaint.remove_prefix(at + words.size());
  return complaint.substr(0, complaint.find('\''));
}

// Makes those of the files that kbuild has a rule for, or with "-n" only says so: the files.
Result<std::vector<std::string>> generate(const Kbuild& kbuild, const Missing& files,
                                          const std::vector<std::string>& options) {
  TempDir scratch = TRY(TempDir::create(temporary_directory(), "suture-generate"));
  constexpr std::string_view goal = "suture-generated";
  std::string goals, rules;
  for (const auto& [directory, names] : files) {
    goals += fmt::format(" {}/{}", goal, directory);
    rules += fmt::format("{}/{}:\n\t$(MAKE) -f scripts/Makefile.build obj={} {}\n", goal, directory,
                         directory, fmt::join(names, " "));
  }
  const fs::path makefile = scratch.path() / "generate.mk";
  TRY(write_file(makefile, fmt::format("{}:{}\n{}", goal, goals, rules)));
  Command make = make_command(kbuild, scratch.path());
  make.env.emplace_back("MAKEFILES", makefile.string());
  make.argv.insert(make.argv.end(), options.begin(), options.end());
  make.argv.emplace_back(goal);
  make = in_toolchain(kbuild.about.toolchain, std::move(make), {},
                      {kbuild.about.tree, scratch.path()});
  std::set<std::string, std::less<>> unknown;
  std::string complaints;
  TRY(run_lines(make, [&](std::string_view line) {
    if (!is_complaint(line)) {
      return;
    }
    std::string_view name = without_rule(line);
    if (!name.empty()) {
      unknown.emplace(name);
    } else if (!line.contains(makefile.string()) && !line.contains(": __sub-make] ") &&
               complaints.size() < 2000) {
      // That our own goal, or the make that runs it, fails along with a file of it says nothing.
      complaints.append(line).append("\n");
    }
  }));
  if (!complaints.empty()) {
    return fail(
        Code::prepare_failed, kbuild.about.tree.string(),
        fmt::format("kbuild could not generate what the kernel is made of:\n{}", complaints),
        remedy);
  }
  std::vector<std::string> made;
  for (const auto& [directory, names] : files) {
    std::ranges::copy_if(names, std::back_inserter(made),
                         [&](const std::string& name) { return !unknown.contains(name); });
  }
  return made;
}

}  // namespace

fs::path units_file(const fs::path& tree) { return tree / "include/config/suture.units"; }

bool is_current_list(const fs::path& list) { return first_line(list) == units_format; }

Status make_units(const PreparedTree& about, const Progress& progress) {
  Kbuild kbuild = TRY(kbuild_of(about));
  progress("asking kbuild what the kernel is made of");
  DryRun said = TRY(dry_run_of_kernel(kbuild));
  Missing missing = missing_files(said, about.tree);
  // What tells whether a diff changes an export's prototype, also where the kernel does not ask it.
  const std::string genksyms = "scripts/genksyms/genksyms";
  if (fs::exists(about.tree / (genksyms + ".c")) && !fs::exists(about.tree / genksyms)) {
    missing["scripts/genksyms"].push_back(genksyms);
  }
  if (!missing.empty()) {
    progress("generating sources and headers");
    const auto jobs = fmt::format("-j{}", std::max(1U, std::thread::hardware_concurrency()));
    for (const std::string& file : TRY(generate(kbuild, missing, {jobs}))) {
      if (!fs::exists(about.tree / file)) {
        return fail(Code::prepare_failed, about.tree.string(),
                    fmt::format("kbuild did not generate {}", file), remedy);
      }
    }
  }
  std::string text = TRY(text_of(kbuild, said));
  return write_file(units_file(about.tree), std::string_view(text));
}

Status ensure_units(const Kernel& kernel, const Progress& progress) {
  if (is_current_list(kernel.units)) {
    return {};
  }
  FileLock lock = TRY(lock_cache(progress));
  if (is_current_list(kernel.units)) {
    return {};  // made while we waited
  }
  return make_units({.tree = kernel.source,
                     .config = kernel.config,
                     .release = kernel.release,
                     .toolchain = kernel.toolchain},
                    progress);
}

Result<bool> list_units(const PreparedTree& about, const fs::path& list) {
  Kbuild kbuild = TRY(kbuild_of(about));
  DryRun said = TRY(dry_run_of_kernel(kbuild));
  Missing missing = missing_files(said, about.tree);
  if (!missing.empty() && !TRY(generate(kbuild, missing, {"-n"})).empty()) {
    return false;
  }
  std::string text = TRY(text_of(kbuild, said));
  TRY(write_file(list, std::string_view(text)));
  return true;
}

}  // namespace suture::kernel
