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
#include "build/compile_units.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/digest.h"
#include "base/parallel.h"
#include "base/process.h"
#include "build/wide_sites.h"
#include "source/type_changes.h"

namespace suture::build {

bool is_other_program(std::string_view path) {
  constexpr std::string_view folders[] = {"arch/x86/boot/", "arch/x86/realmode/rm/",
                                          "arch/x86/purgatory/", "arch/x86/entry/vdso/"};
  // Beside the vDSO, and linked into the kernel by that directory's Makefile.
  constexpr std::string_view kernels[] = {"arch/x86/entry/vdso/vma.c",
                                          "arch/x86/entry/vdso/extable.c",
                                          "arch/x86/entry/vdso/vdso32-setup.c"};
  return std::ranges::any_of(folders, [&](auto folder) { return path.starts_with(folder); }) &&
         std::ranges::find(kernels, path) == std::end(kernels);
}

bool is_not_code(std::string_view path) {
  constexpr std::string_view folders[] = {"Documentation/", "LICENSES/", "samples/",
                                          "scripts/",       "tools/",    "debian/"};
  constexpr std::string_view names[] = {"MAINTAINERS", "CREDITS", ".mailmap",
                                        ".gitignore",  "README",  "COPYING"};
  std::string_view name = path.substr(path.rfind('/') + 1);
  return std::ranges::any_of(folders, [&](auto folder) { return path.starts_with(folder); }) ||
         std::ranges::any_of(names, [&](auto other) { return name == other; }) ||
         path.ends_with(".rst") || path.ends_with(".txt");
}

namespace {

bool is_source(std::string_view path) { return path.ends_with(".c"); }
bool is_header(std::string_view path) { return path.ends_with(".h"); }

std::string directory_of(std::string_view path) {
  std::size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? "." : std::string(path.substr(0, slash));
}

// The .c files of the same directory that #include this one by name.
Result<std::vector<std::string>> includers(const std::string& path, const fs::path& tree) {
  std::vector<std::string> out;
  std::string directory = directory_of(path);
  std::string wanted = fmt::format("\"{}\"", path.substr(path.rfind('/') + 1));
  std::error_code ec;
  for (const auto& entry : fs::directory_iterator(tree / directory, ec)) {
    std::string name = entry.path().filename().string();
    if (!is_source(name) || directory + "/" + name == path) {
      continue;
    }
    std::string text = TRY(read_text(entry.path()));
    for (std::size_t at = text.find(wanted); at != std::string::npos;
         at = text.find(wanted, at + 1)) {
      std::size_t line = text.rfind('\n', at) + 1;
      if (text.find("include", line) < at && text[text.find_first_not_of(" \t", line)] == '#') {
        out.push_back(directory + "/" + name);
        break;
      }
    }
  }
  std::ranges::sort(out);
  return out;
}

std::unexpected<Error> cannot_build(Code code, const std::string& path, std::string_view what,
                                    std::string_view remedy) {
  return fail(code, path, std::string(what), std::string(remedy));
}

Status check_kind(const source::ChangedFile& file) {
  if (is_other_program(file.path)) {
    return cannot_build(Code::unsupported_file, file.path,
                        "it is part of a program of its own (boot code, the vDSO), not of the "
                        "running kernel's text",
                        "leave it out of the diff; this change needs a reboot");
  }
  if (is_header(file.path)) {
    return {};
  }
  if (!is_source(file.path)) {
    return cannot_build(Code::unsupported_file, file.path,
                        "it is neither C source nor documentation, so its effect on running code "
                        "cannot be built",
                        "leave it out of the diff if the running kernel does not need it");
  }
  if (file.creates || file.deletes) {
    return cannot_build(Code::unsupported_file, file.path,
                        file.creates ? "the diff adds a source file, which no compile command "
                                       "belongs to"
                                     : "the diff deletes a source file",
                        "move the new code into a file that exists");
  }
  return {};
}

}  // namespace

Result<Touched> touched_units(const std::vector<source::ChangedFile>& files, const fs::path& tree) {
  Touched out;
  std::set<std::string> units;
  for (const source::ChangedFile& file : files) {
    if (is_not_code(file.path)) {
      out.ignored.push_back(file.path);
      continue;
    }
    TRY(check_kind(file));
    if (is_header(file.path)) {
      out.headers.push_back(file.path);
      continue;
    }
    std::vector<std::string> users = TRY(includers(file.path, tree));
    if (users.empty()) {
      units.insert(file.path);
    }
    units.insert(users.begin(), users.end());
  }
  out.sources.assign(units.begin(), units.end());
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
    bool unit = std::ranges::find(touched.sources, file.path) != touched.sources.end();
    out.everywhere = out.everywhere || !unit;
    out.sources.insert(file.path);
  }
  return out;
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

void run_job(Job& job) {
  job.result = run(Command{.argv = job.compiler, .directory = job.directory});
  if (!job.result || job.result->exit_status != 0 || job.objtool.empty()) {
    return;
  }
  Finished compiled = *job.result;
  std::vector<std::string> objtool = job.objtool;
  objtool.push_back(job.output.string());
  job.result = run(Command{.argv = objtool, .directory = job.directory});
  if (job.result) {
    job.result->out = compiled.out + job.result->out;
  }
}

Status judge(const Job& job, const source::CompileCommand& command) {
  if (!job.result) {
    return std::unexpected(job.result.error());
  }
  if (job.result->exit_status == 0) {
    return {};
  }
  std::string words = job.result->out.substr(0, 4000);
  if (job.post) {
    return fail(Code::does_not_compile, command.source,
                fmt::format("the patched source does not compile:\n{}", words),
                "mend the diff; the unpatched file compiles");
  }
  // Everything that is in the kernel compiles from its source, with its configuration.
  return fail(
      Code::not_in_kernel, command.source,
      fmt::format("the unpatched file does not compile as this kernel is configured, so the "
                  "kernel was built without it:\n{}",
                  words),
      "leave the file out of the diff; if the kernel does have it, remove the kernel from "
      "the cache and add it again");
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
  return sha256_hex(as_bytes(all + text)).substr(0, 32);
}

}  // namespace

Result<std::vector<Unit>> compile_units(const kernel::Kernel& kernel,
                                        std::vector<source::CompileCommand> commands,
                                        const TypeChanges& types, const WorkPlace& place,
                                        const PostCache& posts) {
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
  parallel_for(jobs.size(), [&](std::size_t i) { run_job(jobs[i]); });
  for (const Job& job : jobs) {
    Unit& unit = units[job.unit];
    Status judged = judge(job, unit.command);
    if (!judged && judged.error().code == Code::not_in_kernel) {
      unit.absent = judged.error();
    }
    if (unit.absent) {
      continue;
    }
    TRY(std::move(judged));
    if (job.post) {
      auto kept_post = TRY(posts.keep(unit.post_key, {unit.post, unit.dependencies}));
      unit.post = kept_post.object;
      unit.dependencies = kept_post.dependencies;
    } else {
      TRY(rename_path(job.output, unit.pre));
    }
  }
  return units;
}

}  // namespace suture::build
