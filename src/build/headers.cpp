// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: a header may be included by thousands of files, most of which this kernel does not have
// or which see nothing of the change, and only a build of the whole kernel knows which.
//
// Method: take every file that may include it (include_graph.h), ask kbuild how it is compiled,
// leave out those of modules that the kernel does not have, and let the preprocessor read both
// sides of the rest: equal text compiles to equal code.
//
// Invariant: a unit is left out only where its text is the same on both sides or the kernel does
// not have it.
#include "build/headers.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/digest.h"
#include "base/parallel.h"
#include "base/process.h"
#include "build/kernel_side.h"
#include "build/shadow_tree.h"
#include "kernel/prepare.h"
#include "source/include_graph.h"

namespace suture::build {

namespace {

// Each costs two runs of the preprocessor, a second or so.
constexpr std::size_t most_candidates = 2500;

// Line markers would tell the shadow from the tree, and comments are none of ours.
std::vector<std::string> preprocessing(const source::CompileCommand& command,
                                       const fs::path& output) {
  std::vector<std::string> out = options_of(command);
  out.insert(out.end(), {"-E", "-P", "-o", output.string(), command.source});
  return out;
}

enum class Text : std::uint8_t { same, changed, absent };

// What the preprocessor makes of both sides. A unit whose unpatched text it refuses is not part of
// this kernel; one whose patched text it refuses is left to the compiler to explain.
Result<Text> compare_texts(const source::CompileCommand& command, const fs::path& tree,
                           const WorkPlace& place, std::size_t number) {
  fs::path pre = place.objects / fmt::format("{}.pre.i", number);
  fs::path post = place.objects / fmt::format("{}.post.i", number);
  Finished before = TRY(run(Command{.argv = preprocessing(command, pre), .directory = tree}));
  if (before.exit_status != 0) {
    return Text::absent;
  }
  Finished after =
      TRY(run(Command{.argv = preprocessing(command, post), .directory = place.shadow}));
  bool same = after.exit_status == 0 &&
              sha256_hex(TRY(read_bytes(pre))) == sha256_hex(TRY(read_bytes(post)));
  std::error_code ec;
  fs::remove(pre, ec);
  fs::remove(post, ec);
  return same ? Text::same : Text::changed;
}

// The files that may include a changed header, without those that the diff names itself.
Result<std::vector<std::string>> candidates_for(const kernel::Kernel& kernel,
                                                const Touched& touched) {
  std::string config = TRY(read_text(kernel.config));
  kernel::ConfigIdentity identity = TRY(kernel::config_identity(config, kernel.config.string()));
  source::IncludeGraph graph = TRY(
      source::IncludeGraph::open(kernel.source, identity.arch, kernel.derived / "include-graph"));
  std::vector<std::string> out = graph.users(touched.headers);
  std::erase_if(out, [&](const std::string& path) {
    return is_other_program(path) || std::ranges::binary_search(touched.sources, path);
  });
  if (out.size() > most_candidates) {
    return fail(Code::header_changed, touched.headers.front(),
                fmt::format("{} files may include the changed headers, and each would have to be "
                            "looked at; {} are the most",
                            out.size(), most_candidates),
                "move the change into the .c files that need it");
  }
  return out;
}

}  // namespace

Result<Reached> reached_units(const kernel::Kernel& kernel, const Touched& touched,
                              const WorkPlace& place, const kernel::Progress& progress) {
  progress("looking for what includes the changed headers");
  std::vector<std::string> candidates = TRY(candidates_for(kernel, touched));
  TRY(source::learn_commands(kernel, candidates));
  Reached out{.candidates = candidates.size()};
  std::vector<source::CompileCommand> commands;
  for (const std::string& candidate : candidates) {
    auto command = source::compile_command(kernel, candidate);
    if (command && find_module(kernel, *command)) {
      TRY(make_way(command->source, kernel.source, place.shadow));
      commands.push_back(std::move(*command));
    } else {
      ++out.absent;
    }
  }
  progress(fmt::format("preprocessing {} files", commands.size()));
  std::vector<Result<Text>> texts(commands.size(), Text::absent);
  parallel_for(commands.size(), [&](std::size_t i) {
    texts[i] = compare_texts(commands[i], kernel.source, place, i);
  });
  for (std::size_t i = 0; i < commands.size(); ++i) {
    Text text = TRY(std::move(texts[i]));
    out.same += text == Text::same ? 1 : 0;
    out.absent += text == Text::absent ? 1 : 0;
    if (text == Text::changed && commands[i].source.ends_with(".S")) {
      return fail(Code::unsupported_file, commands[i].source,
                  "the changed header changes this assembly file, which cannot be replaced "
                  "function by function",
                  "keep what assembly sees of the header as it is");
    }
    if (text == Text::changed) {
      out.commands.push_back(std::move(commands[i]));
    }
  }
  return out;
}

}  // namespace suture::build
