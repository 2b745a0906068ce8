// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: to know how the distribution compiled an object, without compiling it and without
// touching the prepared tree, which may be shared and read-only.
//
// Method: kbuild itself says it. `make -n OBJECT` prints the shell line that would build the
// object: "set -e; ...; gcc ... -c -o OBJECT SOURCE ; ./tools/objtool/objtool ... OBJECT; ...". The
// line is cut into commands by the shell's own rules. Even under -n make runs recipes of submakes,
// remakes the makefiles that it includes, and probes the compiler in a scratch directory in the
// tree; so the tree is declared prepared (-o prepare), the configuration is declared in step
// (may-sync-config=, which since 6.2 would skip asking the compiler too, but for need-compiler=1),
// and the scratch directory is put elsewhere (TMPOUT=).
//
// Asked for virt/kvm/kvm_main.o, kbuild compiles it with virt/'s flags, though it is a part of the
// module that arch/x86/kvm/Makefile lists as ../../../virt/kvm/kvm_main.o. So where an answer looks
// like a guess of kbuild's (a built-in object by itself, outside the directory that it belongs to),
// the directories whose makefiles reach into others are asked too, by that spelling, and one that
// has it in a module wins.
//
// With CONFIG_X86_KERNEL_IBT objtool runs on the linked vmlinux and on linked modules, never on an
// object alone. What we compile ends in a module of our own, so it gets the objtool command that
// kbuild has for a module of one file: an external one, made up for the question.
//
// Invariants: nothing in the tree is written; an answer that is kept names the tree and the
// compiler that it was made for, and is used for no other.
#include "source/compile.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "kernel/prepare.h"
#include "source/tree_files.h"

namespace suture::source {

namespace {

constexpr int cache_schema = 4;

// A word of a shell line, or one of the operators that end a command.
struct Token {
  std::string text;
  bool ends_command = false;
};

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

bool is_operator(char c) { return c == ';' || c == '&' || c == '|' || c == '\n'; }

// Reads what is quoted from line[at] (the opening quote) into `word`; the index behind it.
std::optional<std::size_t> read_quoted(std::string_view line, std::size_t at, std::string& word) {
  char quote = line[at];
  for (std::size_t i = at + 1; i < line.size(); ++i) {
    if (line[i] == quote) {
      return i + 1;
    }
    if (quote == '"' && line[i] == '\\' && i + 1 < line.size() &&
        std::string_view("$`\"\\\n").find(line[i + 1]) != std::string_view::npos) {
      ++i;
      if (line[i] == '\n') {
        continue;
      }
    }
    word += line[i];
  }
  return std::nullopt;
}

Result<std::vector<Token>> tokenize(std::string_view line) {
  auto unfinished = [&](std::string_view what) {
    return fail(Code::child_failed, "make",
                fmt::format("a command line ends inside {}: '{}'", what, line.substr(0, 200)),
                "prepare the source tree again");
  };
  std::vector<Token> tokens;
  std::string word;
  bool open = false;  // a word has begun; it may still be empty ('')
  auto finish_word = [&] {
    if (std::exchange(open, false)) {
      tokens.push_back({std::exchange(word, {}), false});
    }
  };
  for (std::size_t i = 0; i < line.size();) {
    char c = line[i];
    if (is_blank(c)) {
      finish_word();
      ++i;
    } else if (is_operator(c)) {
      finish_word();
      tokens.push_back({std::string(1, c), true});
      ++i;
    } else if (c == '\\') {
      if (i + 1 == line.size()) {
        return unfinished("a backslash");
      }
      if (line[i + 1] != '\n') {
        open = true;
        word += line[i + 1];
      }
      i += 2;
    } else if (c == '\'' || c == '"') {
      open = true;
      auto end = read_quoted(line, i, word);
      if (!end) {
        return unfinished("quotes");
      }
      i = *end;
    } else {
      open = true;
      word += c;
      ++i;
    }
  }
  finish_word();
  return tokens;
}

using Words = std::vector<std::string>;

// The commands of a shell line, without redirections' or loops' meaning: enough to find one of
// them.
Result<std::vector<Words>> split_commands(std::string_view line) {
  std::vector<Words> commands(1);
  for (Token& token : TRY(tokenize(line))) {
    if (token.ends_command) {
      commands.emplace_back();
    } else {
      commands.back().push_back(std::move(token.text));
    }
  }
  return commands;
}

bool compiles(const Words& words, const std::string& object, const std::string& source) {
  const Words wanted{"-c", "-o", object, source};
  return !std::ranges::search(words, wanted).empty();
}

bool is_objtool_of(const Words& words, const std::string& object) {
  return words.size() >= 2 && words.back() == object && words[0].ends_with("objtool/objtool");
}

// Finds the object's commands in one line; false where the line is about something else.
Result<bool> read_recipe(std::string_view line, CompileCommand& command) {
  if (line.find(fmt::format("-c -o {} {}", command.object, command.source)) ==
      std::string_view::npos) {
    return false;
  }
  bool found = false;
  for (Words& words : TRY(split_commands(line))) {
    if (!found && compiles(words, command.object, command.source)) {
      command.compiler = std::move(words);
      found = true;
    } else if (found && is_objtool_of(words, command.object)) {
      words.pop_back();
      command.objtool = std::move(words);
      break;
    }
  }
  return found;
}

std::string without_extension(const std::string& path) {
  return fs::path(path).replace_extension().string();
}

// What the command says about the module: whether it is for one, and KBUILD_MODNAME.
void read_module_name(CompileCommand& command) {
  constexpr std::string_view name_option = "-DKBUILD_MODNAME=\"";
  for (const std::string& word : command.compiler) {
    if (word == "-DMODULE") {
      command.is_module = true;
    } else if (word.starts_with(name_option) && word.ends_with('"')) {
      command.module_name = word.substr(name_option.size(), word.size() - name_option.size() - 1);
    }
  }
}

fs::path cache_file(const kernel::Kernel& kernel, const std::string& object) {
  std::string name = object;
  std::ranges::replace(name, '/', '%');
  return kernel.derived / "commands" / (name + ".json");
}

// A kept answer, where there is a good one; a damaged file is as good as none.
std::optional<CompileCommand> read_cache(const fs::path& file, const std::string& tree,
                                         const std::string& compiler) {
  auto text = read_text(file);
  if (!text) {
    return std::nullopt;
  }
  auto json = nlohmann::json::parse(*text, nullptr, false);
  try {
    if (json.is_discarded() || json.at("schema") != cache_schema || json.at("tree") != tree ||
        json.at("cc") != compiler) {
      return std::nullopt;
    }
    return CompileCommand{json.at("source"),  json.at("object"),    json.at("compiler"),
                          json.at("objtool"), json.at("is_module"), json.at("module_name")};
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  }
}

Status write_cache(const fs::path& file, const std::string& tree, const std::string& compiler,
                   const CompileCommand& command) {
  nlohmann::ordered_json json = {
      {"schema", cache_schema},
      {"tree", tree},
      {"cc", compiler},
      {"source", command.source},
      {"object", command.object},
      {"compiler", command.compiler},
      {"objtool", command.objtool},
      {"is_module", command.is_module},
      {"module_name", command.module_name},
  };
  TRY(make_directories(file.parent_path()));
  return write_file(file, json.dump(1) + "\n");
}

struct Kbuild {
  const kernel::Kernel& kernel;
  std::string arch;
  std::string compiler;
  bool objtool_at_link = false;
};

// What kbuild says about an object, and the directory whose makefile it took.
struct Answer {
  CompileCommand command;
  std::string directory;
};

// The line that built the object when the tree was prepared or the kernel built in it: make -n has
// nothing to say about what is there already.
std::string recipe_of_built(const kernel::Kernel& kernel, const std::string& object) {
  fs::path path = kernel.source / object;
  auto text = read_text(path.parent_path() / fmt::format(".{}.cmd", path.filename().string()));
  return text ? kept_line(*text) : std::string{};
}

// A directory above may have been asked first, because a makefile lists the object's own by a
// longer way (obj-y += char/ipmi/): it guesses. The object's own directory knows.
Result<bool> find_recipe(const std::string& text, Answer& answer) {
  constexpr std::string_view descent = " obj=";
  const std::string own = fs::path(answer.command.object).parent_path().string();
  bool found = false;
  std::string directory;
  std::string_view rest = text;
  while (!rest.empty()) {
    std::size_t end = rest.find('\n');
    std::string_view line = rest.substr(0, end);
    Answer next{.command = {.source = answer.command.source, .object = answer.command.object},
                .directory = directory};
    if ((!found || (directory == own && answer.directory != own)) &&
        TRY(read_recipe(line, next.command))) {
      answer = std::move(next);
      found = true;
    }
    if (std::size_t at = line.find(descent); line.starts_with("make") && at != line.npos) {
      line.remove_prefix(at + descent.size());
      directory = line.substr(0, line.find(' '));
    }
    rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
  }
  return found;
}

// What `make -n` says about `goals`, none of which is made.
Result<Finished> dry_run(const Kbuild& kbuild, const std::vector<std::string>& goals,
                         const fs::path& scratch) {
  Command make = kernel::kbuild_command(kbuild.kernel.source, kbuild.arch, kbuild.compiler,
                                        kbuild.kernel.release);
  make.argv.insert(make.argv.end(), {"-n", "-o", "prepare", "may-sync-config=", "need-compiler=1",
                                     fmt::format("TMPOUT={}/$$$$", scratch.string())});
  make.argv.insert(make.argv.end(), goals.begin(), goals.end());
  return run(make);
}

// The objtool command of a module that is one file.
Result<Words> module_objtool(const Kbuild& kbuild) {
  TempDir scratch = TRY(TempDir::create(fs::temp_directory_path(), "suture-probe"));
  const fs::path probe = scratch.path() / "probe";
  TRY(make_directories(probe));
  TRY(write_file(probe / "Makefile", "obj-m := probe.o\n"));
  TRY(write_file(probe / "probe.c", "\n"));
  std::string module = fmt::format("M={}", probe.string());
  Finished finished = TRY(dry_run(kbuild, {module, "probe.o"}, scratch.path()));
  Answer answer;
  answer.command.source = probe / "probe.c";
  answer.command.object = probe / "probe.o";
  if (!TRY(find_recipe(finished.out, answer))) {
    return fail(Code::child_failed, "probe.o",
                fmt::format("the kernel's build does not say how it makes a module:\n{}",
                            finished.out.substr(0, 2000)),
                fmt::format("check the source tree {}", kbuild.kernel.source.string()));
  }
  return answer.command.objtool;
}

Result<Answer> ask(const Kbuild& kbuild, const std::string& source) {
  Answer answer;
  CompileCommand& command = answer.command;
  command.source = source;
  command.object = without_extension(source) + ".o";
  TempDir scratch = TRY(TempDir::create(fs::temp_directory_path(), "suture-probe"));
  Finished finished = TRY(dry_run(kbuild, {command.object}, scratch.path()));
  bool found = TRY(find_recipe(finished.out, answer));
  if (!found && TRY(find_recipe(recipe_of_built(kbuild.kernel, command.object), answer))) {
    found = true;
    answer.directory = fs::path(command.object).parent_path();
  }
  if (found) {
    read_module_name(command);
    return answer;
  }
  if (finished.exit_status == 0 ||
      finished.out.find("No rule to make target") != std::string::npos ||
      finished.out.find("No such file or directory") != std::string::npos) {
    return fail(Code::not_in_kernel, source,
                fmt::format("the kernel's build has no rule that makes {} of it", command.object),
                "leave the file out of the patch if this kernel does not use it");
  }
  return fail(Code::child_failed, source,
              fmt::format("'make -n {}' ended with status {}:\n{}", command.object,
                          finished.exit_status, finished.out.substr(0, 2000)),
              fmt::format("check the source tree {}", kbuild.kernel.source.string()));
}

// kbuild compiles any file that it is asked for, listed in a makefile or not. An object that it
// knows is part of something, or stands in the directory whose makefile was read.
bool is_guess(const Answer& answer) {
  const CompileCommand& command = answer.command;
  std::string own_name = fs::path(without_extension(command.object)).filename().string();
  std::ranges::replace(own_name, '-', '_');
  return !command.is_module && command.module_name == own_name &&
         answer.directory != fs::path(command.object).parent_path();
}

// A directory that may list an object of another directory, and how likely it is to.
struct Reach {
  std::string directory;
  long likelihood = 0;
};

// Directories whose makefiles make objects of their own and name files elsewhere, likeliest first.
std::vector<Reach> reaching_directories(const Kbuild& kbuild, const fs::path& object) {
  const fs::path& tree = kbuild.kernel.source;
  std::vector<Reach> found;
  for (const fs::path& file : files_for_arch(tree, kbuild.arch)) {
    std::string name = file.filename().string();
    fs::path directory = file.parent_path();
    fs::path way = object.lexically_relative(directory);
    if ((name != "Makefile" && name != "Kbuild") || way.empty() || *way.begin() != "..") {
      continue;
    }
    auto text = read_text(tree / file);
    if (!text || text->find("obj-") == std::string::npos ||
        (text->find("../") == std::string::npos && text->find("include ") == std::string::npos)) {
      continue;
    }
    Reach reach{directory.string(), -std::distance(way.begin(), way.end())};
    reach.likelihood += text->find(object.parent_path().string()) == std::string::npos ? 0 : 100;
    found.push_back(std::move(reach));
  }
  std::ranges::stable_sort(found, std::greater(), &Reach::likelihood);
  return found;
}

Result<CompileCommand> ask_everywhere(const Kbuild& kbuild, const std::string& source) {
  auto first = ask(kbuild, source);
  bool exists = fs::exists(kbuild.kernel.source / source);
  bool doubtful = first ? is_guess(*first) : first.error().code == Code::not_in_kernel && exists;
  if (doubtful) {
    constexpr std::size_t most = 8;  // each costs a run of make
    std::vector<Reach> reaches = reaching_directories(kbuild, source);
    for (std::size_t i = 0; i < std::min(most, reaches.size()); ++i) {
      fs::path way = fs::path(source).lexically_relative(reaches[i].directory);
      auto other = ask(kbuild, (reaches[i].directory / way).string());
      if (other && other->command.is_module) {
        return other->command;
      }
      if (!other && other.error().code != Code::not_in_kernel) {
        return std::unexpected(other.error());
      }
    }
  }
  if (!first) {
    return std::unexpected(first.error());
  }
  return first->command;
}

}  // namespace

Result<std::vector<std::string>> split_words(std::string_view line) {
  std::vector<std::string> words;
  for (Token& token : TRY(tokenize(line))) {
    words.push_back(std::move(token.text));
  }
  return words;
}

std::string kept_line(std::string_view cmd_file) {
  constexpr std::string_view assigned = " := ";
  std::string_view first = cmd_file.substr(0, cmd_file.find('\n'));
  std::size_t at = first.find(assigned);
  if ((!first.starts_with("cmd_") && !first.starts_with("savedcmd_")) || at == first.npos) {
    return {};
  }
  std::string line;
  for (first.remove_prefix(at + assigned.size()); !first.empty();) {
    constexpr std::string_view sharp = "$(pound)";
    if (first.starts_with("$$") || first.starts_with(sharp)) {
      bool dollar = first[1] == '$';
      line += dollar ? '$' : '#';
      first.remove_prefix(dollar ? 2 : sharp.size());
    } else {
      line += first[0];
      first.remove_prefix(1);
    }
  }
  return line;
}

namespace {

Result<Kbuild> kbuild_of(const kernel::Kernel& kernel) {
  std::string config = TRY(read_text(kernel.config));
  kernel::ConfigIdentity identity = TRY(kernel::config_identity(config, kernel.config.string()));
  return Kbuild{.kernel = kernel,
                .arch = identity.arch,
                .compiler = TRY(kernel::find_compiler(identity.compiler_text)),
                .objtool_at_link = kernel::has_option(config, "CONFIG_X86_KERNEL_IBT")};
}

Result<CompileCommand> keep(const Kbuild& kbuild, CompileCommand command, const Words& objtool) {
  if (kbuild.objtool_at_link) {
    command.objtool = objtool;
  }
  if (!command.is_module) {
    command.module_name.clear();
  }
  // Kept under the name that was asked for: a command may spell its file in another way.
  fs::path kept = cache_file(kbuild.kernel, fs::path(command.object).lexically_normal().string());
  TRY(write_cache(kept, kbuild.kernel.source.string(), kbuild.compiler, command));
  return command;
}

Result<Words> objtool_of_modules(const Kbuild& kbuild) {
  return kbuild.objtool_at_link ? module_objtool(kbuild) : Words{};
}

std::optional<CompileCommand> known_command(const Kbuild& kbuild, const std::string& source) {
  return read_cache(cache_file(kbuild.kernel, without_extension(source) + ".o"),
                    kbuild.kernel.source.string(), kbuild.compiler);
}

// Asks about several objects at once and keeps the answers that are no guesses.
Status ask_together(const Kbuild& kbuild, const std::vector<std::string>& sources,
                    const Words& objtool) {
  TempDir scratch = TRY(TempDir::create(fs::temp_directory_path(), "suture-probe"));
  std::vector<std::string> goals{"-k"};
  for (const std::string& source : sources) {
    goals.push_back(without_extension(source) + ".o");
  }
  Finished finished = TRY(dry_run(kbuild, goals, scratch.path()));
  for (const std::string& source : sources) {
    Answer answer;
    answer.command.source = source;
    answer.command.object = without_extension(source) + ".o";
    if (TRY(find_recipe(finished.out, answer))) {
      read_module_name(answer.command);
      if (!is_guess(answer)) {
        TRY(keep(kbuild, std::move(answer.command), objtool));
      }
    }
  }
  return {};
}

}  // namespace

std::string CompileCommand::path() const { return fs::path(source).lexically_normal().string(); }

Result<std::vector<Result<CompileCommand>>> compile_commands(
    const kernel::Kernel& kernel, const std::vector<std::string>& sources) {
  constexpr std::size_t at_once = 100;
  const Kbuild kbuild = TRY(kbuild_of(kernel));
  std::vector<std::string> unknown;
  std::ranges::copy_if(sources, std::back_inserter(unknown),
                       [&](const std::string& source) { return !known_command(kbuild, source); });
  Words objtool = unknown.empty() ? Words{} : TRY(objtool_of_modules(kbuild));
  // One alone is asked below, everywhere at once.
  for (std::size_t i = 0; unknown.size() > 1 && i < unknown.size(); i += at_once) {
    auto first = unknown.begin() + static_cast<std::ptrdiff_t>(i);
    auto last = first + static_cast<std::ptrdiff_t>(std::min(at_once, unknown.size() - i));
    TRY(ask_together(kbuild, {first, last}, objtool));
  }
  std::vector<Result<CompileCommand>> out;
  for (const std::string& source : sources) {
    if (auto known = known_command(kbuild, source)) {
      out.emplace_back(std::move(*known));
      continue;
    }
    Result<CompileCommand> asked = ask_everywhere(kbuild, source);
    out.push_back(asked ? keep(kbuild, std::move(*asked), objtool) : std::move(asked));
  }
  return out;
}

}  // namespace suture::source
