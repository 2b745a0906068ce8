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

#include "base/parallel.h"
#include "base/process.h"
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

class Texts {
 public:
  Texts(const kernel::Kernel& kernel, const Intake& intake, const WorkPlace& place)
      : kernel_(kernel), intake_(intake), place_(place) {}

  // What the preprocessor makes of both sides. A unit whose unpatched text it refuses is not part
  // of this kernel; one whose patched text it refuses, or that went past a patched file, is left to
  // the compiler to explain.
  Result<Text> compare(const source::CompileCommand& command, std::size_t number) const {
    fs::path pre = place_.objects / fmt::format("{}.pre.i", number);
    fs::path post = place_.objects / fmt::format("{}.post.i", number);
    fs::path read = place_.objects / fmt::format("{}.post.d", number);
    std::vector<std::string> watched = preprocessing(command, post);
    watched.push_back(fmt::format("-Wp,-MMD,{}", read.string()));
    Finished before =
        TRY(run(Command{.argv = preprocessing(command, pre), .directory = kernel_.source}));
    if (before.exit_status != 0) {
      return Text::absent;
    }
    Finished after = TRY(run(Command{.argv = watched, .directory = place_.shadow}));
    bool same =
        after.exit_status == 0 && TRY(read_bytes(pre)) == TRY(read_bytes(post)) &&
        find_unpatched(TRY(files_read(read)), intake_.files, kernel_.source, place_.shadow).empty();
    std::error_code ec;
    for (const fs::path& file : {pre, post, read}) {
      fs::remove(file, ec);
    }
    return same ? Text::same : Text::changed;
  }

 private:
  const kernel::Kernel& kernel_;
  const Intake& intake_;
  const WorkPlace& place_;
};

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

Result<Reached> reached_units(const kernel::Kernel& kernel, const kernel::Units& units,
                              const Intake& intake, const WorkPlace& place,
                              const kernel::Progress& progress) {
  progress("looking for what includes the changed headers");
  std::vector<std::string> candidates = TRY(candidates_for(kernel, intake.touched));
  Reached out{.candidates = candidates.size()};
  std::vector<source::CompileCommand> commands;
  for (const std::string& candidate : candidates) {
    auto known = source::commands_for(units, candidate);
    out.absent += known ? 0 : 1;
    for (source::CompileCommand& command : known ? *known : std::vector<source::CompileCommand>{}) {
      TRY(make_way(command.source, kernel.source, place.shadow));
      commands.push_back(std::move(command));
    }
  }
  progress(fmt::format("preprocessing {} files", commands.size()));
  const Texts compared(kernel, intake, place);
  std::vector<Result<Text>> texts(commands.size(), Text::absent);
  parallel_for(commands.size(),
               [&](std::size_t i) { texts[i] = compared.compare(commands[i], i); });
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
