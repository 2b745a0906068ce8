// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: compile the unpatched and the patched version of a file so that nothing but the patch
// makes a difference, without ever writing to the tree.
//
// Method: pre is compiled from the tree itself. Post lies in an overlay directory that holds only
// the patched files; -fmacro-prefix-map makes its __FILE__ the same, -iquote lets its quoted
// includes find the tree's files. Both get one function or variable a section and no debug
// information, which leaves the code the same and the compile faster. Type information costs as
// much as debug information does: pre has it, once, and post only where the diff may change types.
// Pre objects are kept per kernel, by the digest of everything that goes into them.
#include "build/compile_units.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <set>
#include <thread>

#include "base/digest.h"
#include "base/process.h"
#include "source/type_changes.h"

namespace suture::build {

namespace {

bool is_source(std::string_view path) { return path.ends_with(".c"); }

// Changes there never reach the kernel's code.
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
  if (file.path.ends_with(".h")) {
    return cannot_build(Code::header_changed, file.path,
                        "the diff changes a header, and every file that includes it would have to "
                        "be judged",
                        "move the change into the .c files that need it");
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
    std::vector<std::string> users = TRY(includers(file.path, tree));
    if (users.empty()) {
      units.insert(file.path);
    }
    units.insert(users.begin(), users.end());
  }
  out.sources.assign(units.begin(), units.end());
  return out;
}

std::set<std::string> units_with_new_types(const std::vector<source::ChangedFile>& files,
                                           const Touched& touched) {
  std::set<std::string> out;
  for (const source::ChangedFile& file : files) {
    if (is_not_code(file.path) || !source::may_change_types(file.before, file.after)) {
      continue;
    }
    // What other files include may change types for any of them.
    if (std::ranges::find(touched.sources, file.path) == touched.sources.end()) {
      return {touched.sources.begin(), touched.sources.end()};
    }
    out.insert(file.path);
  }
  return out;
}

Status write_overlay(const std::vector<source::ChangedFile>& files, const Touched& touched,
                     const fs::path& tree, const fs::path& overlay) {
  for (const source::ChangedFile& file : files) {
    TRY(make_directories(overlay / directory_of(file.path)));
    TRY(write_file(overlay / file.path, file.after_synced));
  }
  // A unit that did not change itself is copied, so that what it includes is looked up beside it.
  for (const std::string& source : touched.sources) {
    if (std::ranges::find(files, source, &source::ChangedFile::path) == files.end()) {
      std::string text = TRY(read_text(tree / source));
      TRY(make_directories(overlay / directory_of(source)));
      TRY(write_file(overlay / source, text));
    }
  }
  return {};
}

namespace {

struct Job {
  std::size_t unit = 0;
  bool post = false;
  std::vector<std::string> compiler;
  std::vector<std::string> objtool;
  fs::path output;
  Result<Finished> result{Finished{}};
};

// kbuild's command with another input and output, and without the dependency file.
std::vector<std::string> adapt(const source::CompileCommand& command, const fs::path& input,
                               const fs::path& output, const fs::path& overlay, bool types) {
  std::vector<std::string> out;
  for (std::size_t i = 0; i < command.compiler.size(); ++i) {
    const std::string& word = command.compiler[i];
    if (word.starts_with("-Wp,-MMD") || word.starts_with("-Wp,-MD")) {
      continue;
    }
    if (word == "-o") {
      ++i;
      continue;
    }
    if (word == "-c" || word == command.source) {
      continue;
    }
    out.push_back(word);
  }
  out.insert(out.end(), {"-g0", "-ffunction-sections", "-fdata-sections"});
  if (types) {
    out.push_back("-gbtf");
  }
  if (!overlay.empty()) {
    out.push_back(fmt::format("-fmacro-prefix-map={}/=", overlay.string()));
    out.insert(out.end(), {"-iquote", directory_of(command.source)});
  }
  out.insert(out.end(), {"-c", "-o", output.string(), input.string()});
  return out;
}

void run_job(Job& job, const fs::path& tree) {
  job.result = run(Command{.argv = job.compiler, .directory = tree});
  if (!job.result || job.result->exit_status != 0 || job.objtool.empty()) {
    return;
  }
  Finished compiled = *job.result;
  std::vector<std::string> objtool = job.objtool;
  objtool.push_back(job.output.string());
  job.result = run(Command{.argv = objtool, .directory = tree});
  if (job.result) {
    job.result->out = compiled.out + job.result->out;
  }
}

void run_all(std::vector<Job>& jobs, const fs::path& tree) {
  std::atomic<std::size_t> next{0};
  auto work = [&] {
    for (std::size_t i = next++; i < jobs.size(); i = next++) {
      run_job(jobs[i], tree);
    }
  };
  std::size_t width = std::clamp<std::size_t>(std::thread::hardware_concurrency(), 1, jobs.size());
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < width; ++i) {
    threads.emplace_back(work);
  }
  for (std::thread& thread : threads) {
    thread.join();
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

std::string pre_key(const source::CompileCommand& command, const std::string& text) {
  std::string all;
  for (const std::string& word : adapt(command, command.source, "out", {}, true)) {
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
                                        const std::set<std::string>& with_new_types,
                                        const fs::path& overlay) {
  std::vector<Unit> units;
  std::vector<Job> jobs;
  fs::path kept = kernel.derived / "pre";
  TRY(make_directories(kept));
  for (source::CompileCommand& command : commands) {
    Unit unit{.command = std::move(command)};
    unit.types = with_new_types.contains(unit.command.source);
    const fs::path name = fs::path(unit.command.source).filename();
    std::string key = pre_key(unit.command, TRY(read_text(kernel.source / unit.command.source)));
    unit.pre = kept / (key + ".o");
    unit.pre_cached = fs::exists(unit.pre);
    unit.post = overlay / (key + ".post.o");
    if (!unit.pre_cached) {
      fs::path output = overlay / (key + ".pre.o");
      jobs.push_back(Job{.unit = units.size(),
                         .compiler = adapt(unit.command, unit.command.source, output, {}, true),
                         .objtool = unit.command.objtool,
                         .output = output});
    }
    jobs.push_back(Job{.unit = units.size(),
                       .post = true,
                       .compiler = adapt(unit.command, overlay / unit.command.source, unit.post,
                                         overlay, unit.types),
                       .objtool = unit.command.objtool,
                       .output = unit.post});
    units.push_back(std::move(unit));
  }
  run_all(jobs, kernel.source);
  for (const Job& job : jobs) {
    TRY(judge(job, units[job.unit].command));
    if (!job.post) {
      TRY(rename_path(job.output, units[job.unit].pre));
    }
  }
  return units;
}

}  // namespace suture::build
