// SPDX-License-Identifier: GPL-2.0-or-later
#include "build/build.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <future>
#include <set>

#include "base/digest.h"
#include "base/process.h"
#include "build/compile_units.h"
#include "build/layouts.h"
#include "diff/diff.h"
#include "kernel/image.h"
#include "kernel/module_image.h"
#include "kernel/symvers.h"
#include "match/match.h"
#include "module/link.h"
#include "source/patch.h"

namespace suture::build {

namespace {

// One unit's graphs and findings. Kept in a deque: the parts point at one another.
struct Work {
  Unit unit;
  elf::ObjectFile pre_object, post_object;
  diff::PieceGraph pre_graph, post_graph;
  diff::CodeTables pre_tables, post_tables;
  std::optional<diff::Side> pre, post;
  diff::ObjectDiff diff;
  const match::RunObject* run = nullptr;
  match::MatchResult matched;
  std::optional<module::Binder> binder;
};

// The kernel's side: read while the compiler runs.
struct KernelSide {
  kernel::Image image;
  kernel::Symvers symvers;
  module::Glue glue;
  std::optional<kernel::TypeTable> types;  // none where the kernel was built without BTF
};

// The types that an object or a kernel states, if it does.
Result<std::optional<kernel::TypeTable>> types_of(const elf::ObjectFile& object,
                                                  const std::string& where,
                                                  const kernel::TypeTable* base = nullptr) {
  const elf::Section* section = object.section(".BTF");
  if (section == nullptr) {
    return std::nullopt;
  }
  return TRY(kernel::TypeTable::parse(section->data, where, base));
}

struct LoadedModule {
  kernel::ModuleImage image;
  match::RunObject run;
};

class Builder {
 public:
  Builder(const Request& request, const kernel::Progress& progress)
      : request_(request), kernel_(request.kernel), progress_(progress) {}

  Result<Outcome> run() {
    double start = now_seconds();
    TRY(check_kernel());
    TRY(read_patches());
    TRY(compile());
    TRY(compare());
    TRY(compare_types());
    if (out_.refusals.empty()) {
      TRY(match_all());
      check_changes();
    }
    if (out_.refusals.empty()) {
      TRY(link());
    }
    out_.seconds.total = now_seconds() - start;
    return std::move(out_);
  }

 private:
  Status read_patches() {
    double start = now_seconds();
    std::vector<source::Patch> patches;
    std::set<std::string> cves(request_.cves.begin(), request_.cves.end());
    for (const fs::path& path : request_.patches) {
      std::string text = TRY(read_text(path));
      source::Patch patch = TRY(source::parse_patch(text, path.string()));
      metadata_.diffs.push_back({patch.sha256, path.filename().string()});
      collect_cves(patch.description, cves);
      if (metadata_.description.empty()) {
        metadata_.description = subject(patch.description);
      }
      patches.push_back(std::move(patch));
    }
    metadata_.cves.assign(cves.begin(), cves.end());
    if (!request_.description.empty()) {
      metadata_.description = request_.description;
    }
    metadata_.name = TRY(module_name());
    metadata_.version = request_.version;
    metadata_.release = kernel_.release;
    metadata_.replace = request_.replace;
    metadata_.tool = request_.tool_version;
    files_ = TRY(source::apply(patches, kernel_.source));
    touched_ = TRY(touched_units(files_, kernel_.source));
    for (const std::string& path : touched_.ignored) {
      out_.notes.push_back(fmt::format("{} is no kernel code: left out", path));
    }
    if (touched_.sources.empty()) {
      return fail(Code::no_change, request_.patches[0].string(),
                  "the diff touches no code of the kernel",
                  "give a diff that changes .c files of the kernel");
    }
    out_.seconds.source = now_seconds() - start;
    return {};
  }

  static void collect_cves(std::string_view text, std::set<std::string>& cves) {
    for (std::size_t at = text.find("CVE-"); at != std::string_view::npos;
         at = text.find("CVE-", at + 4)) {
      std::size_t end = at + 4;
      while (end < text.size() && ((text[end] >= '0' && text[end] <= '9') || text[end] == '-')) {
        ++end;
      }
      std::string_view id = text.substr(at, end - at);
      if (id.size() >= 13 && id[8] == '-') {
        cves.emplace(id);
      }
    }
  }

  // The Subject of a mail, else the first line.
  static std::string subject(std::string_view text) {
    std::size_t at = text.find("Subject: ");
    if (at != std::string_view::npos && (at == 0 || text[at - 1] == '\n')) {
      text.remove_prefix(at + 9);
    }
    std::string line(text.substr(0, text.find('\n')));
    if (line.starts_with("[") && line.find("] ") != std::string::npos) {
      line.erase(0, line.find("] ") + 2);
    }
    return line.starts_with("diff ") || line.starts_with("Index:") ? std::string{} : line;
  }

  // Module names are file names and C identifiers at once, and struct module has room for 55.
  Result<std::string> module_name() const {
    std::string name = request_.name;
    if (name.empty()) {
      name = request_.patches.at(0).stem().string();
      for (char& c : name) {
        bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        c = fine ? c : '_';
      }
      name = name.substr(0, 55);
    }
    bool fine = !name.empty() && name.size() <= 55 &&
                name.find_first_not_of(
                    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                    "0123456789_") == std::string::npos;
    if (!fine) {
      return fail(Code::usage, name, "a module's name is 1 to 55 letters, digits and underscores",
                  "give another name with -n");
    }
    return name;
  }

  // What this version writes would not be right for every kernel: it says so before it compiles.
  Status check_kernel() const {
    std::string config = TRY(read_text(kernel_.config));
    auto has = [&](std::string_view option) {
      return config.find(fmt::format("\n{}=y\n", option)) != std::string::npos;
    };
    if (!has("CONFIG_LIVEPATCH")) {
      return fail(Code::no_livepatch, kernel_.release,
                  "the kernel is configured without CONFIG_LIVEPATCH", "use a kernel that has it");
    }
    // There the compiler works on more than one file at a time, or calls are checked by type.
    for (std::string_view option : {"CONFIG_LTO_CLANG", "CONFIG_CFI_CLANG"}) {
      if (has(option)) {
        return fail(
            Code::unsupported_kernel, kernel_.release,
            fmt::format("it is configured with {}, which this version cannot build for", option),
            "use a kernel without that option; Debian's kernels are");
      }
    }
    return {};
  }

  Status compile() {
    double start = now_seconds();
    std::vector<source::CompileCommand> commands;
    for (const std::string& source : touched_.sources) {
      progress_(fmt::format("compiling {}", source));
      commands.push_back(TRY(source::compile_command(kernel_, source)));
      TRY(find_module(commands.back()));
    }
    overlay_ = TRY(WorkDir::create(kernel_.derived / "work", "build"));
    TRY(write_overlay(files_, touched_, kernel_.source, overlay_.path()));
    const std::string compiler = commands.at(0).compiler.at(0);
    // The kernel is read while the compiler runs.
    auto reading = std::async(std::launch::async, [&]() -> Result<KernelSide> {
      KernelSide side;
      side.image = TRY(kernel::Image::open(kernel_.vmlinux));
      side.symvers = TRY(kernel::Symvers::open(kernel_.symvers));
      side.types = TRY(types_of(side.image.elf(), kernel_.vmlinux.string()));
      side.glue = TRY(module::load_glue(kernel_, compiler));
      return side;
    });
    Result<std::vector<Unit>> units = compile_units(
        kernel_, std::move(commands), units_with_new_types(files_, touched_), overlay_.path());
    Result<KernelSide> side = reading.get();
    for (Unit& unit : TRY(std::move(units))) {
      works_.emplace_back().unit = std::move(unit);
    }
    side_ = TRY(std::move(side));
    vmlinux_ = match::RunObject::of_vmlinux(side_.image);
    out_.seconds.compile = now_seconds() - start;
    return {};
  }

  Status compare() {
    double start = now_seconds();
    for (Work& work : works_) {
      work.pre_object = TRY(elf::ObjectFile::open(work.unit.pre));
      work.post_object = TRY(elf::ObjectFile::open(work.unit.post));
      const elf::Arch* arch = elf::arch_of(work.pre_object.machine());
      if (arch == nullptr) {
        return fail(Code::wrong_kernel, work.unit.command.source,
                    "its architecture is not supported", "use a kernel for x86-64");
      }
      work.pre_graph = TRY(diff::PieceGraph::build(work.pre_object, *arch));
      work.post_graph = TRY(diff::PieceGraph::build(work.post_object, *arch));
      const diff::TableSizes& sizes = side_.glue.constants;
      work.pre_tables = TRY(diff::CodeTables::build(work.pre_graph, sizes));
      work.post_tables = TRY(diff::CodeTables::build(work.post_graph, sizes));
      work.pre.emplace(diff::Side{work.pre_graph, work.pre_tables});
      work.post.emplace(diff::Side{work.post_graph, work.post_tables});
      work.diff = diff::compare(*work.pre, *work.post);
      std::ranges::copy(work.diff.notes, std::back_inserter(out_.notes));
      for (Error refusal : work.diff.refusals) {
        refusal.where = fmt::format("{}: {}", work.unit.command.source, refusal.where);
        out_.refusals.push_back(std::move(refusal));
      }
    }
    if (out_.refusals.empty()) {
      judge_nothing_changed();
    }
    out_.seconds.diff = now_seconds() - start;
    return {};
  }

  void judge_nothing_changed() {
    bool changed = std::ranges::any_of(works_, [](const Work& w) { return w.diff.any_changed(); });
    bool init = std::ranges::any_of(works_, [](const Work& w) { return w.diff.init_changed; });
    if (changed) {
      return;
    }
    const std::string& where = works_.front().unit.command.source;
    if (init) {
      out_.refusals.push_back(Error{Code::init_only, where,
                                    "all that changes runs only while the kernel boots or the "
                                    "module loads",
                                    "the running kernel cannot be helped by a patch: reboot, or "
                                    "reload the module"});
    } else {
      out_.refusals.push_back(Error{Code::no_change, where,
                                    "the compiled code is the same before and after the diff",
                                    "nothing needs to be loaded; check that the diff is the one "
                                    "you mean"});
    }
  }

  // Where a unit's module lies; an empty path for vmlinux. Asked before anything is compiled: the
  // diff may be to a driver that this kernel does not have.
  Result<fs::path> find_module(const source::CompileCommand& command) const {
    if (!command.is_module) {
      return fs::path{};
    }
    if (kernel_.modules.empty()) {
      return fail(Code::not_in_kernel, command.source,
                  fmt::format("it belongs to the module {}, and no modules were given",
                              command.module_name),
                  "give the kernel's modules with --modules");
    }
    kernel::ModuleDirectory directory = TRY(kernel::ModuleDirectory::open(kernel_.modules));
    auto path = directory.find(command.module_name);
    if (!path) {
      return fail(Code::not_in_kernel, command.source,
                  fmt::format("it belongs to the module {}, which this kernel does not have",
                              command.module_name),
                  "leave the file out of the diff");
    }
    return *path;
  }

  // The object that runs the unit's code, opened once.
  Result<const match::RunObject*> run_object(const source::CompileCommand& command) {
    if (!command.is_module) {
      return &vmlinux_;
    }
    return &TRY(loaded_module(command)).get().run;
  }

  Result<std::reference_wrapper<const LoadedModule>> loaded_module(
      const source::CompileCommand& command) {
    auto it = modules_.find(command.module_name);
    if (it == modules_.end()) {
      fs::path path = TRY(find_module(command));
      LoadedModule loaded;
      loaded.image = TRY(kernel::ModuleImage::open(path));
      const elf::Arch& arch = *elf::arch_of(loaded.image.elf().machine());
      loaded.run = TRY(match::RunObject::of_module(loaded.image, arch));
      it = modules_.emplace(command.module_name, std::move(loaded)).first;
    }
    return std::cref(it->second);
  }

  Status compare_types() {
    double start = now_seconds();
    std::set<std::string> told;
    for (Work& work : works_) {
      const std::string& source = work.unit.command.source;
      std::optional<kernel::TypeTable> pre = TRY(types_of(work.pre_object, source));
      if (!pre) {
        continue;
      }
      if (work.unit.types) {
        std::optional<kernel::TypeTable> post = TRY(types_of(work.post_object, source));
        for (Error& refusal : post ? changed_layouts(*pre, *post) : std::vector<Error>{}) {
          if (told.insert(refusal.where).second) {
            refusal.where = fmt::format("{}: {}", source, refusal.where);
            out_.refusals.push_back(std::move(refusal));
          }
        }
      }
      TRY(check_kernel_types(*pre, work.unit.command));
    }
    out_.seconds.diff += now_seconds() - start;
    return {};
  }

  // A module states the types that vmlinux does not have.
  Status check_kernel_types(const kernel::TypeTable& pre, const source::CompileCommand& command) {
    if (!side_.types) {
      return {};
    }
    std::optional<Error> wrong = foreign_layout(pre, *side_.types);
    if (!wrong && command.is_module) {
      const kernel::ModuleImage& image = TRY(loaded_module(command)).get().image;
      auto types = TRY(types_of(image.elf(), image.name(), &*side_.types));
      wrong = types ? foreign_layout(pre, *types) : std::nullopt;
    }
    if (wrong) {
      wrong->where = fmt::format("{}: {}", command.source, wrong->where);
      out_.refusals.push_back(std::move(*wrong));
    }
    return {};
  }

  Status match_all() {
    double start = now_seconds();
    for (Work& work : works_) {
      work.run = TRY(run_object(work.unit.command));
      work.matched = match::match(work.pre_graph, *work.run);
      out_.matched += work.matched.functions.size();
      out_.of += work.matched.of;
      for (const auto& [piece, mismatch] : work.matched.mismatches) {
        out_.unmatched.push_back(fmt::format("{}+{:#x}: {}", work.pre_graph.piece(piece).name,
                                             mismatch.offset, mismatch.reason));
      }
      work.binder.emplace(*work.run, vmlinux_, side_.symvers, work.pre_graph, work.matched);
    }
    out_.seconds.match = now_seconds() - start;
    return {};
  }

  // Every function that is to be replaced must be the one that runs. Where they all are but others
  // of the file are not, the kernel is still not the one that was compiled for.
  void check_changes() {
    for (const Work& work : works_) {
      std::size_t refused = out_.refusals.size();
      for (std::size_t i = 0; i < work.diff.fate.size(); ++i) {
        auto it = work.matched.mismatches.find(work.diff.correlation.pre_of[i]);
        if (work.diff.fate[i] == diff::Fate::changed && it != work.matched.mismatches.end()) {
          refuse_mismatch(work, it->second);
        }
      }
      auto other = std::ranges::find(work.matched.mismatches, match::Mismatch::Kind::different,
                                     [](const auto& pair) { return pair.second.kind; });
      if (refused == out_.refusals.size() && other != work.matched.mismatches.end()) {
        refuse_mismatch(work, other->second);
      }
    }
  }

  void refuse_mismatch(const Work& work, const match::Mismatch& mismatch) {
    const std::string where =
        fmt::format("{}: {}", work.unit.command.source, work.pre_graph.piece(mismatch.piece).name);
    switch (mismatch.kind) {
      case match::Mismatch::Kind::missing:
        out_.refusals.push_back(
            Error{Code::not_in_kernel, where,
                  fmt::format("{} has no function of that name", work.run->name()),
                  "leave the file out of the diff: this kernel is configured without it"});
        break;
      case match::Mismatch::Kind::overridden:
        out_.refusals.push_back(Error{Code::not_in_kernel, where, mismatch.reason,
                                      "change the definition that the kernel uses"});
        break;
      case match::Mismatch::Kind::ambiguous:
        out_.refusals.push_back(
            Error{Code::symbol_ambiguous, where, mismatch.reason,
                  "leave this function as it is: which of them to replace cannot be known"});
        break;
      case match::Mismatch::Kind::different:
        out_.mismatches.push_back(
            match::explain(work.pre_graph, *work.run, work.matched, mismatch));
        out_.refusals.push_back(
            Error{Code::run_pre_mismatch, fmt::format("{}+{:#x}", where, mismatch.offset),
                  out_.mismatches.back().text(),
                  "check the compiler, the config and the source version against the kernel's"});
        break;
    }
  }

  Status link() {
    double start = now_seconds();
    std::vector<module::LinkInput> inputs;
    for (const Work& work : works_) {
      if (work.diff.any_changed() ||
          std::ranges::find(work.diff.fate, diff::Fate::fresh) != work.diff.fate.end()) {
        inputs.push_back(module::LinkInput{.source = work.unit.command.source,
                                           .build_id = work.run->build_id(),
                                           .post = &*work.post,
                                           .diff = &work.diff,
                                           .binder = &*work.binder});
      }
    }
    module::Linked linked = TRY(module::link(inputs, side_.glue, side_.symvers, metadata_));
    fs::path directory =
        request_.output_directory.empty() ? fs::path(".") : request_.output_directory;
    TRY(make_directories(directory));
    out_.module = directory / (metadata_.name + ".ko");
    TRY(write_file(out_.module, linked.module));
    out_.metadata = std::move(linked.metadata);
    out_.seconds.link = now_seconds() - start;
    return {};
  }

  const Request& request_;
  const kernel::Kernel& kernel_;
  const kernel::Progress& progress_;
  Outcome out_;
  module::Metadata metadata_;
  std::vector<source::ChangedFile> files_;
  Touched touched_;
  WorkDir overlay_;
  KernelSide side_;
  match::RunObject vmlinux_;
  std::map<std::string, LoadedModule> modules_;
  std::deque<Work> works_;
};

}  // namespace

Result<Outcome> build(const Request& request, const kernel::Progress& progress) {
  return Builder(request, progress).run();
}

}  // namespace suture::build
