// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: compile the unpatched and the patched version of a file so that nothing but the patch
// makes a difference, without ever writing to the tree.
//
// Method: pre is compiled in the tree itself, post in a shadow of it (shadow_tree.h), with the
// kernel's own command. Both get one function or variable a section and no debug information, which
// leaves the code the same and the compile faster. Type information costs as much as debug
// information does: pre has it, once, and post only where the diff may change types. Pre objects
// are kept per kernel, by the digest of everything that goes into them, and so are post objects
// (post_cache.h). A changed header reaches only the units whose preprocessed text changes with it.
#include "patch/compile_units.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <span>

#include "base/digest.h"
#include "base/parallel.h"
#include "base/process.h"
#include "kernel/toolchain.h"
#include "patch/wide_sites.h"
#include "source/type_changes.h"

namespace suture::patch {

bool is_other_program(std::string_view path) {
  constexpr std::string_view folders[] = {"arch/x86/boot/", "arch/x86/realmode/rm/",
                                          "arch/x86/purgatory/", "arch/x86/entry/vdso/",
                                          "drivers/firmware/efi/libstub/"};
  // Beside the vDSO, and linked into the kernel by that directory's Makefile.
  constexpr std::string_view kernels[] = {"arch/x86/entry/vdso/vma.c",
                                          "arch/x86/entry/vdso/extable.c",
                                          "arch/x86/entry/vdso/vdso32-setup.c"};
  return std::ranges::any_of(folders, [&](auto folder) { return path.starts_with(folder); }) &&
         std::ranges::find(kernels, path) == std::end(kernels);
}

namespace {

bool is_source(std::string_view path) { return path.ends_with(".c"); }
bool is_header(std::string_view path) { return path.ends_with(".h"); }

bool is_under(std::string_view path, std::span<const std::string_view> folders) {
  return std::ranges::any_of(folders, [&](auto folder) { return path.starts_with(folder); });
}

// Files of scripts/ and tools/ that no build of a kernel runs or reads.
bool is_for_people(std::string_view path) {
  constexpr std::string_view folders[] = {"scripts/coccinelle/", "scripts/gdb/", "scripts/package/",
                                          "scripts/clang-tools/", "scripts/tracing/"};
  constexpr std::string_view names[] = {"checkpatch.pl",
                                        "get_maintainer.pl",
                                        "kernel-doc",
                                        "spelling.txt",
                                        "tags.sh",
                                        "decodecode",
                                        "decode_stacktrace.sh",
                                        "faddr2line",
                                        "bloat-o-meter",
                                        "spdxcheck.py",
                                        "const_structs.checkpatch"};
  constexpr std::string_view for_objtool[] = {"tools/objtool/", "tools/arch/x86/lib/",
                                              "tools/arch/x86/tools/"};
  if (path.starts_with("tools/")) {
    return !is_under(path, for_objtool);
  }
  const std::string_view name = path.substr(path.rfind('/') + 1);
  return path.starts_with("scripts/") &&
         (is_under(path, folders) || std::ranges::find(names, name) != std::end(names));
}

}  // namespace

bool is_not_code(std::string_view path) {
  constexpr std::string_view folders[] = {"Documentation/", "LICENSES/", "samples/", "debian/"};
  constexpr std::string_view names[] = {"MAINTAINERS", "CREDITS", ".mailmap",
                                        ".gitignore",  "README",  "COPYING"};
  std::string_view name = path.substr(path.rfind('/') + 1);
  return is_under(path, folders) || std::ranges::find(names, name) != std::end(names) ||
         path.ends_with(".rst") || is_for_people(path);
}

namespace {

std::unexpected<Error> cannot_build(const std::string& path, std::string reason,
                                    std::string remedy) {
  return fail(Code::unsupported_file, path, std::move(reason), std::move(remedy));
}

// What the kernel's code gets from a file that is neither C nor a header.
std::string use_of(const std::string& path, const kernel::Units& units, const fs::path& tree) {
  const fs::path file(path);
  const std::string name = file.filename().string();
  if (auto made = units.made_of(path); !made.empty()) {
    return fmt::format("kbuild makes {} of it", made);
  }
  if (auto compiled = units.of_source(path); !compiled.empty()) {
    return fmt::format(
        "it is assembly, compiled into {}, which cannot be replaced function by "
        "function",
        compiled.front()->object);
  }
  // What was compiled before the kernel itself, for a header with its numbers.
  const fs::path listing = file.parent_path() / fmt::format(".{}.s.cmd", file.stem().string());
  if (path.ends_with(".c") && fs::exists(tree / listing)) {
    return "kbuild makes a header of it that much of the kernel includes";
  }
  if (name.starts_with("Makefile") || name.starts_with("Kbuild") || name.starts_with("Kconfig")) {
    return "it decides what the kernel is built of, and how";
  }
  if (name.ends_with(".lds.S") || name.ends_with(".lds.h")) {
    return "it decides how the kernel is linked";
  }
  if (path.starts_with("scripts/") || path.starts_with("tools/")) {
    return "it is a part of the build, which runs it or reads it";
  }
  return {};
}

Status check_kind(const source::ChangedFile& file, const std::string& use) {
  constexpr const char* leave_out =
      "leave it out of the diff if the running kernel does not need it";
  if (is_other_program(file.path)) {
    return cannot_build(file.path,
                        "it is part of a program of its own (boot code, the vDSO), not of the "
                        "running kernel's text",
                        "leave it out of the diff; this change needs a reboot");
  }
  if (is_source(file.path) && (file.creates || file.deletes)) {
    return cannot_build(file.path,
                        file.creates ? "the diff adds a source file, which no compile command "
                                       "belongs to"
                                     : "the diff deletes a source file",
                        "move the new code into a file that exists");
  }
  if (!use.empty()) {
    return cannot_build(file.path, fmt::format("{}; a patch cannot follow that", use), leave_out);
  }
  if (!is_source(file.path)) {
    return cannot_build(file.path,
                        "it is neither C source nor documentation, so its effect on running code "
                        "cannot be built",
                        leave_out);
  }
  return fail(
      Code::not_in_kernel, file.path,
      "the kernel's build compiles no object of it, and no file that it compiles includes it",
      "leave the file out of the diff: this kernel is configured without it");
}

}  // namespace

Result<Touched> touched_units(const std::vector<source::ChangedFile>& files,
                              const kernel::Units& units, const fs::path& tree) {
  Touched out;
  for (const source::ChangedFile& file : files) {
    const bool header = is_header(file.path) && !file.path.ends_with(".lds.h");
    const bool included = header || units.may_be_included(file.path);
    const bool unit = is_source(file.path) && !units.of_source(file.path).empty();
    const std::string use = use_of(file.path, units, tree);
    const bool text = file.path.ends_with(".txt") && use.empty();
    if (is_not_code(file.path) || (text && !included)) {
      out.ignored.push_back(file.path);
      continue;
    }
    if (is_other_program(file.path) || (!unit && !included) ||
        (!header && (file.creates || file.deletes))) {
      TRY(check_kind(file, use));
    }
    // Both, where it is an object of its own and a part of others.
    if (unit) {
      out.sources.push_back(file.path);
    }
    if (included) {
      out.headers.push_back(file.path);
    }
  }
  std::ranges::sort(out.sources);
  std::ranges::sort(out.headers);
  return out;
}

TypeChanges type_changes(const std::vector<source::ChangedFile>& files, const Touched& touched) {
  TypeChanges out;
  for (const source::ChangedFile& file : files) {
    if (is_not_code(file.path) || !source::may_change_types(file.before, file.after)) {
      continue;
    }
    // What other files include may change types for any of them.
    out.everywhere = out.everywhere || std::ranges::binary_search(touched.headers, file.path);
    out.sources.insert(file.path);
  }
  return out;
}

TreePaths tree_paths(const kernel::Kernel& kernel, const WorkPlace& place) {
  return {.tree = kernel.source, .shadow = place.shadow, .links = kernel.derived / "links"};
}

std::vector<std::string> options_of(const source::CompileCommand& command) {
  std::vector<std::string> out;
  for (std::size_t i = 0; i < command.compiler.size(); ++i) {
    const std::string& word = command.compiler[i];
    if (word == "-o") {
      ++i;
    } else if (word != "-c" && word != command.source && !word.starts_with("-Wp,-MMD") &&
               !word.starts_with("-Wp,-MD")) {
      out.push_back(word);
    }
  }
  return out;
}

namespace {

struct Job {
  std::size_t unit = 0;
  bool post = false;
  std::vector<std::string> compiler;
  std::vector<std::string> objtool;
  fs::path directory;
  fs::path output;
  Result<Finished> result{Finished{}};
};

std::vector<std::string> compiling(const source::CompileCommand& command,
                                   const std::vector<std::string>& first_options,
                                   const fs::path& output, bool types) {
  std::vector<std::string> out = options_of(command);
  out.insert(out.begin() + 1, first_options.begin(), first_options.end());
  out.insert(out.end(), {"-g0", "-ffunction-sections", "-fdata-sections"});
  if (types) {
    out.push_back("-gbtf");
  }
  out.insert(out.end(), {"-c", "-o", output.string(), command.source});
  return out;
}

void run_job(const kernel::Kernel& kernel, const WorkPlace& place, Job& job) {
  auto run_there = [&](const std::vector<std::string>& argv) {
    return run(
        kernel::in_toolchain(kernel, {.argv = argv, .directory = job.directory}, place.objects));
  };
  job.result = run_there(job.compiler);
  if (!job.result || job.result->exit_status != 0 || job.objtool.empty()) {
    return;
  }
  Finished compiled = *job.result;
  std::vector<std::string> objtool = job.objtool;
  objtool.push_back(job.output.string());
  job.result = run_there(objtool);
  if (job.result) {
    job.result->out = compiled.out + job.result->out;
  }
}

// Why the job failed, where it did.
std::optional<Error> failure_of(const Job& job, const source::CompileCommand& command) {
  if (job.result->exit_status == 0) {
    return std::nullopt;
  }
  std::string words = job.result->out.substr(0, 4000);
  if (job.post) {
    return Error{Code::does_not_compile, command.source,
                 fmt::format("the patched source does not compile:\n{}", words),
                 "correct the diff; the unpatched file compiles"};
  }
  return Error{Code::does_not_compile, command.source,
               fmt::format("the unpatched source does not compile, though the kernel was built "
                           "from it:\n{}",
                           words),
               "install the compiler that built the kernel, or add the kernel to the cache again"};
}

// The compiler counts lines as the unpatched file has them. So what failed is compiled again with
// the patched files as they are, for its words alone.
Status name_patched_lines(const kernel::Kernel& kernel, std::vector<Job>& jobs,
                          const std::vector<source::ChangedFile>& files, const WorkPlace& place) {
  std::vector<Job*> failed;
  for (Job& job : jobs) {
    if (job.post && job.result && job.result->exit_status != 0) {
      failed.push_back(&job);
    }
  }
  if (failed.empty()) {
    return {};
  }
  for (const source::ChangedFile& file : files) {
    if (!file.deletes) {
      TRY(write_file(place.shadow / file.path, std::string_view(file.after)));
    }
  }
  parallel_for(failed.size(), [&](std::size_t i) {
    auto again = run(kernel::in_toolchain(
        kernel, {.argv = failed[i]->compiler, .directory = failed[i]->directory}, place.objects));
    // What fails with the synced lines alone keeps its words.
    if (again && again->exit_status != 0) {
      failed[i]->result = std::move(again);
    }
  });
  return {};
}

// The command, its output left out, and what else the object depends on.
std::string digest_of(const source::CompileCommand& command,
                      const std::vector<std::string>& first_options, bool types,
                      const std::string& text) {
  std::string all;
  for (const std::string& word : compiling(command, first_options, "out", types)) {
    all += word;
    all += '\0';
  }
  for (const std::string& word : command.objtool) {
    all += word;
    all += '\0';
  }
  // One object may be a part of several modules; each has its own.
  all += command.object + '\0' + command.module_name + '\0';
  return sha256_hex(as_bytes(all + text)).substr(0, 32);
}

// Tells what is compiled: a few files by their names, many by how far it is.
class Counter {
 public:
  Counter(std::size_t jobs, const kernel::Progress& progress) : jobs_(jobs), progress_(progress) {}

  void begins(const std::string& source) {
    constexpr std::size_t few = 8, steps = 10;
    const std::lock_guard lock(mutex_);
    ++begun_;
    if (interrupted()) {
      return;  // nothing begins any more
    }
    if (jobs_ <= few) {
      if (told_.insert(source).second) {
        progress_(fmt::format("compiling {}", source));
      }
    } else if (begun_ * steps / jobs_ != (begun_ - 1) * steps / jobs_ || begun_ == 1) {
      progress_(fmt::format("compiling {} of {}: {}", begun_, jobs_, source));
    }
  }

 private:
  std::size_t jobs_;
  const kernel::Progress& progress_;
  std::mutex mutex_;
  std::size_t begun_ = 0;
  std::set<std::string> told_;
};

}  // namespace

Result<Compiled> compile_units(const kernel::Kernel& kernel,
                               const std::vector<source::ChangedFile>& files,
                               std::vector<source::CompileCommand> commands,
                               const TypeChanges& types, const WorkPlace& place,
                               const PostCache& posts, const kernel::Progress& progress) {
  std::vector<Unit> units;
  std::vector<Job> jobs;
  const std::vector<std::string> wide = TRY(wide_site_options(kernel));
  fs::path kept = kernel.derived / "pre";
  TRY(make_directories(kept));
  for (source::CompileCommand& command : commands) {
    Unit unit{.command = std::move(command)};
    unit.types = types.in(unit.command.path());
    // Only a module has keys that are bound late.
    const auto& first = unit.command.is_module ? wide : std::vector<std::string>{};
    std::string key =
        digest_of(unit.command, first, true, TRY(read_text(kernel.source / unit.command.source)));
    unit.pre = kept / (key + ".o");
    unit.pre_cached = fs::exists(unit.pre);
    Job job{.unit = units.size(), .objtool = unit.command.objtool};
    if (!unit.pre_cached) {
      Job pre = job;
      pre.output = place.objects / (key + ".pre.o");
      pre.directory = kernel.source;
      pre.compiler = compiling(unit.command, first, pre.output, true);
      jobs.push_back(std::move(pre));
    }
    unit.post_key = digest_of(unit.command, first, unit.types, "");
    if (auto kept_post = posts.find(unit.post_key)) {
      unit.post = kept_post->object;
      unit.dependencies = kept_post->dependencies;
      unit.post_cached = true;
    } else {
      unit.post = place.objects / (key + ".post.o");
      unit.dependencies = place.objects / (key + ".post.d");
      job.post = true;
      job.output = unit.post;
      job.directory = place.shadow;
      job.compiler = compiling(unit.command, first, unit.post, unit.types);
      job.compiler.insert(job.compiler.end() - 4,
                          fmt::format("-Wp,-MMD,{}", unit.dependencies.string()));
      jobs.push_back(std::move(job));
    }
    units.push_back(std::move(unit));
  }
  Counter counter(jobs.size(), progress);
  parallel_for(jobs.size(), [&](std::size_t i) {
    counter.begins(units[jobs[i].unit].command.source);
    run_job(kernel, place, jobs[i]);
  });
  for (const Job& job : jobs) {
    if (!job.result) {
      return std::unexpected(job.result.error());
    }
    Unit& unit = units[job.unit];
    if (job.result->exit_status != 0) {
      continue;
    }
    if (job.post) {
      auto kept_post = TRY(posts.keep(unit.post_key, {unit.post, unit.dependencies}));
      unit.post = kept_post.object;
      unit.dependencies = kept_post.dependencies;
    } else {
      TRY(rename_path(job.output, unit.pre));
    }
  }
  TRY(name_patched_lines(kernel, jobs, files, place));
  std::map<std::size_t, Error> failures;  // by unit; why pre fails says more than why post does
  for (const Job& job : jobs) {
    if (auto failure = failure_of(job, units[job.unit].command)) {
      failures.try_emplace(job.unit, std::move(*failure));
    }
  }
  Compiled out;
  for (std::size_t i = 0; i < units.size(); ++i) {
    if (auto failure = failures.find(i); failure != failures.end()) {
      out.failures.push_back(std::move(failure->second));
    } else {
      out.units.push_back(std::move(units[i]));
    }
  }
  return out;
}

}  // namespace suture::patch
