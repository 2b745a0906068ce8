// SPDX-License-Identifier: GPL-2.0-or-later
#include "patch/build.h"

#include <fmt/format.h>

#include <algorithm>
#include <future>
#include <list>
#include <set>

#include "base/digest.h"
#include "base/process.h"
#include "diff/boot_needs.h"
#include "diff/diff.h"
#include "diff/kept_texts.h"
#include "diff/left_behind.h"
#include "kernel/builtin_modules.h"
#include "kernel/prepare.h"
#include "kernel/toolchain.h"
#include "match/boot_callers.h"
#include "match/match.h"
#include "match/shipped_code.h"
#include "module/link.h"
#include "module/moves.h"
#include "module/signature.h"
#include "module/states.h"
#include "patch/author.h"
#include "patch/compile_units.h"
#include "patch/export_versions.h"
#include "patch/headers.h"
#include "patch/intake.h"
#include "patch/kernel_side.h"
#include "patch/layouts.h"
#include "patch/proving.h"
#include "patch/shadow_tree.h"
#include "source/patch.h"

namespace suture::patch {

namespace {

// One unit's graphs and findings. Kept in a list: the parts point at one another.
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
  std::optional<match::ShippedCode> shipped;  // what the file's code calls
  std::size_t file = 0;                       // its number, as diff::Origin has it
};

class Builder {
 public:
  Builder(const Request& request, const kernel::Progress& progress)
      : request_(request), kernel_(request.kernel), progress_(progress) {}

  Result<Outcome> run() {
    double start = now_seconds();
    TRY(check_kernel());
    TRY(open_signer());
    units_ = TRY(kernel::Units::open(kernel_, progress_));
    intake_ = TRY(take_in(request_, units_));
    out_.notes = intake_.notes;
    for (const std::string& path : intake_.touched.ignored) {
      out_.notes.push_back(fmt::format("{} is no kernel code: left out", path));
    }
    if (!request_.onto.empty()) {
      previous_ = TRY(read_previous(request_.onto, intake_.metadata));
    }
    TRY(lay_out());
    out_.seconds.source = now_seconds() - start;
    TRY(compile());
    if (!out_.refusals.empty()) {
      out_.seconds.total = now_seconds() - start;
      return std::move(out_);
    }
    TRY(compare());
    TRY(compare_types());
    judge_previous();
    if (out_.refusals.empty()) {
      TRY(match_all());
      check_changes();
    }
    if (out_.refusals.empty()) {
      TRY(link());
    }
    tidy_refusals();
    out_.seconds.total = now_seconds() - start;
    return std::move(out_);
  }

 private:
  // What two units say of one thing is said once; and where types change, code that is the same is
  // no news.
  void tidy_refusals() {
    std::vector<Error> told;
    const bool only_no_change = std::ranges::all_of(
        out_.refusals, [](const Error& refusal) { return refusal.code == Code::no_change; });
    for (Error& refusal : out_.refusals) {
      const bool again = std::ranges::any_of(told, [&](const Error& other) {
        return other.code == refusal.code && other.where == refusal.where &&
               other.reason == refusal.reason;
      });
      if (!again && (only_no_change || refusal.code != Code::no_change)) {
        told.push_back(std::move(refusal));
      }
    }
    out_.refusals = std::move(told);
  }

  // What this version writes would not be right for every kernel: it says so before it compiles.
  Status check_kernel() const {
    std::string config = TRY(read_text(kernel_.config));
    if (request_.core == module::Core::livepatch &&
        !kernel::has_option(config, "CONFIG_LIVEPATCH")) {
      return fail(Code::no_livepatch, kernel_.release,
                  "the kernel is configured without CONFIG_LIVEPATCH",
                  "build for Suture's own core (--for suture), or use a kernel that has it");
    }
    // There the compiler works on more than one file at a time, or calls are checked by type.
    for (std::string_view option : {"CONFIG_LTO_CLANG", "CONFIG_CFI_CLANG"}) {
      if (kernel::has_option(config, option)) {
        return fail(
            Code::unsupported_kernel, kernel_.release,
            fmt::format("it is configured with {}, which this version cannot build for", option),
            "use a kernel without that option; Debian's kernels are");
      }
    }
    // The units list names the compiler that the source was prepared with; it may have gone since.
    TRY(kernel::find_compiler(kernel_));
    return {};
  }

  // A key that cannot be used is told of before anything is compiled.
  Status open_signer() {
    if (!request_.signing) {
      return {};
    }
    std::string hash = request_.signing->hash;
    if (hash.empty()) {
      const std::string config = TRY(read_text(kernel_.config));
      hash = module::module_signing_hash(config);
    }
    signer_ = TRY(module::Signer::open(request_.signing->key, request_.signing->certificate, hash));
    return {};
  }

  Status lay_out() {
    directory_ = TRY(WorkDir::create(kernel_.derived / "work", "build"));
    place_ = WorkPlace{.shadow = directory_.path() / "tree", .objects = directory_.path()};
    TRY(make_directories(place_.shadow));
    std::vector<source::ChangedFile> files = intake_.files;
    std::ranges::move(author_headers(request_.core), std::back_inserter(files));
    TRY(make_shadow_tree(files, tree_paths(kernel_, place_)));
    posts_ = TRY(PostCache::open(kernel_.derived / "post", files, place_.shadow));
    return {};
  }

  Status compile() {
    double start = now_seconds();
    std::vector<source::CompileCommand> commands;
    modules_ = TRY(Modules::open(kernel_));
    TRY(check_name());
    for (const std::string& source : intake_.touched.sources) {
      for (source::CompileCommand& command : TRY(source::commands_for(units_, source))) {
        TRY(modules_.find(command));
        commands.push_back(std::move(command));
      }
    }
    TRY(add_users_of_headers(commands));
    if (commands.empty()) {
      judge_nothing_changed();
      return {};
    }
    for (const source::CompileCommand& command : commands) {
      TRY(make_way(command.source, tree_paths(kernel_, place_)));
    }
    // The kernel is read while the compiler runs.
    auto reading = std::async(std::launch::async, [&]() -> Status {
      side_ = TRY(KernelSide::open(kernel_, modules_, request_.core));
      TRY(check_name_in_sysfs());
      extent_ = TRY(Extent::open(kernel_, side_.image()));
      return {};
    });
    Result<Compiled> compiled =
        compile_units(kernel_, intake_.files, std::move(commands),
                      type_changes(intake_.files, intake_.touched), place_, posts_, progress_);
    Status read = reading.get();
    Compiled made = TRY(std::move(compiled));
    std::ranges::move(made.failures, std::back_inserter(out_.refusals));
    for (Unit& unit : made.units) {
      TRY(check_files_read(unit));
      const unsigned kept = unsigned{unit.pre_cached} + unsigned{unit.post_cached};
      out_.kept_objects += kept;
      out_.compiled_objects += 2 - kept;
      works_.emplace_back().unit = std::move(unit);
    }
    TRY(std::move(read));
    out_.seconds.compile = now_seconds() - start;
    return {};
  }

  // The diff changes the unit itself, not only what it includes.
  bool named(const Unit& unit) const {
    return std::ranges::binary_search(intake_.touched.sources, unit.command.path());
  }

  // The units that see another text because of a changed header, those of this kernel only.
  Status add_users_of_headers(std::vector<source::CompileCommand>& commands) {
    if (intake_.touched.headers.empty()) {
      return {};
    }
    Reached reached =
        TRY(reached_units(kernel_, units_, intake_, place_, request_.all_units, progress_));
    out_.notes.push_back(
        fmt::format("{} files may include the changed headers: {} of them name what changes, {} "
                    "are compiled",
                    reached.users, reached.candidates, reached.commands.size()));
    if (!reached.reason.empty()) {
      out_.notes.push_back(std::move(reached.reason));
    }
    for (source::CompileCommand& command : reached.commands) {
      commands.push_back(std::move(command));
    }
    return {};
  }

  Status check_files_read(const Unit& unit) const {
    std::vector<std::string> read = TRY(files_read(unit.dependencies));
    std::string wrong = find_unpatched(read, intake_.files, kernel_.source, place_.shadow);
    if (wrong.empty()) {
      return {};
    }
    return fail(Code::header_changed, unit.command.source,
                fmt::format("it includes {} by a way that leads past the patched file", wrong),
                "report this with the diff");
  }

  // A variable that an earlier patch added is that patch's, and the next has one of its own.
  Status note_state_of_previous() {
    const std::set<std::string> before = TRY(variables_in(request_.onto));
    for (const Work& work : works_) {
      for (std::size_t i = 0; i < work.diff.fate.size(); ++i) {
        const diff::Piece& piece = work.post_graph.pieces()[i];
        const bool writable = (work.post_graph.section_of(piece).flags & SHF_WRITE) != 0;
        if (work.diff.fate[i] == diff::Fate::fresh && piece.kind == diff::PieceKind::data &&
            writable && before.contains(std::string(piece.name)) &&
            !diff::may_start_anew(diff::base_name(piece.name))) {
          out_.notes.push_back(fmt::format(
              "{} starts anew: {} has one of its own, and what that holds is not handed on",
              piece.name, previous_->name));
        }
      }
    }
    return {};
  }

  // A second module of a name is not loaded, and one that waits for its own name never is.
  Status check_name() const {
    const std::string& name = intake_.metadata.name;
    if (modules_.find(name)) {
      return fail(Code::usage, name, "the kernel has a module of its own of that name",
                  "give the patch another name: --name NAME");
    }
    return {};
  }

  // Nor is one where the kernel itself has a directory of that name.
  Status check_name_in_sysfs() const {
    const std::string& name = intake_.metadata.name;
    if (kernel::builtin_modules(side_.image()).contains(name)) {
      return fail(Code::usage, name, fmt::format("the kernel has /sys/module/{} of its own", name),
                  "give the patch another name: --name NAME");
    }
    return {};
  }

  Status open_objects(Work& work) {
    work.run = TRY(side_.run_object(work.unit.command));
    work.pre_object = TRY(elf::ObjectFile::open(work.unit.pre));
    work.post_object = TRY(elf::ObjectFile::open(work.unit.post));
    const elf::Arch* arch = elf::arch_of(work.pre_object.machine());
    if (arch == nullptr) {
      return fail(Code::wrong_kernel, work.unit.command.source, "its architecture is not supported",
                  "use a kernel for x86-64");
    }
    work.pre_graph = TRY(diff::PieceGraph::build(work.pre_object, *arch));
    work.post_graph = TRY(diff::PieceGraph::build(work.post_object, *arch));
    const diff::TableSizes& sizes = side_.glue().constants;
    work.pre_tables = TRY(diff::CodeTables::build(work.pre_graph, sizes));
    work.post_tables = TRY(diff::CodeTables::build(work.post_graph, sizes));
    work.pre.emplace(diff::Side{work.pre_graph, work.pre_tables});
    work.post.emplace(diff::Side{work.post_graph, work.post_tables});
    return {};
  }

  // kbuild compiles what the configuration leaves out, too: then nothing of it runs.
  bool runs(const Work& work) const {
    bool stays = false;
    for (const diff::Piece& piece : work.pre_graph.pieces()) {
      // vmlinux names its init code too; of a module only what stays is known.
      if (piece.kind == diff::PieceKind::function &&
          (!work.unit.command.is_module ||
           !diff::is_init_section(work.pre_graph.section_of(piece).name))) {
        stays = true;
        if (!work.run->symbols().find(piece.name).empty()) {
          return true;
        }
      }
    }
    // What a file has beside init code cannot be told from data alone.
    return !stays && named(work.unit);
  }

  // Opens what was compiled, and drops what does not run.
  Status open_all() {
    for (auto it = works_.begin(); it != works_.end();) {
      Work& work = *it;
      TRY(open_objects(work));
      if (!runs(work)) {
        if (named(work.unit)) {
          return fail(Code::not_in_kernel, work.unit.command.source,
                      fmt::format("{} has none of its functions", work.run->name()),
                      "leave the file out of the diff: this kernel is configured without it");
        }
        absent_.push_back(work.unit.command.path());
        it = works_.erase(it);
      } else {
        ++it;
      }
    }
    return {};
  }

  // What goes from one file to another.
  std::vector<diff::Elsewhere> find_moves() {
    std::vector<module::File> files;
    for (Work& work : works_) {
      work.file = files.size();
      files.push_back(module::File{.source = work.unit.command.source,
                                   .run = work.run,
                                   .pre = &*work.pre,
                                   .post = &*work.post});
    }
    module::Moves moves = module::find_moves(files, side_.symvers());
    std::ranges::move(moves.refusals, std::back_inserter(out_.refusals));
    return std::move(moves.of);
  }

  Status compare() {
    double start = now_seconds();
    TRY(open_all());
    std::vector<diff::Elsewhere> elsewhere = find_moves();
    for (Work& work : works_) {
      work.shipped.emplace(
          *work.run, side_.vmlinux(), side_.symvers(), work.pre_graph.arch(),
          [&](std::string_view name) { return side_.module(name); },
          [&] {
            return side_.types() ? side_.types()->parameters() : match::ShippedCode::Parameters{};
          });
      auto directives =
          TRY(directives_of(work.post_graph, work.unit.command.path(), request_.ignored));
      TRY(join(directives, work.unit.command.source, intake_.metadata));
      work.diff = diff::compare(*work.pre, *work.post, home_of(work), std::move(directives),
                                outside_of(work), std::move(elsewhere[work.file]));
    }
    judge_lost_states();
    judge_boot_needs();
    judge_kept_texts();
    for (const Work& work : works_) {
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

  static diff::Names boot_alone_calls(match::BootCallers& callers, const match::RunObject& run,
                                      const diff::Names& functions) {
    std::map<std::string_view, std::uint64_t> addresses;
    std::set<std::uint64_t> asked;
    for (std::string_view name : functions) {
      const kernel::RunSymbol* symbol = run.symbols().unique(name);
      if (symbol != nullptr && symbol->is_global()) {
        addresses.emplace(name, symbol->address);
        asked.insert(symbol->address);
      }
    }
    const std::set<std::uint64_t> at_boot = callers.called_by_boot_alone(asked);
    diff::Names out;
    for (const auto& [name, address] : addresses) {
      if (at_boot.contains(address)) {
        out.insert(name);
      }
    }
    return out;
  }

  static diff::Home home_of(const Work& work) {
    return work.unit.command.is_module ? diff::Home::module : diff::Home::vmlinux;
  }

  static diff::OutsideFate outside_of(Work& work) {
    return [&work](std::string_view function, elf::AddressArguments arguments) {
      return work.shipped->fate(function, arguments);
    };
  }

  void judge_kept_texts() {
    const auto exported = [&](std::string_view name) {
      const kernel::Export* entry = side_.symvers().find(name);
      return entry != nullptr && entry->module == "vmlinux";
    };
    for (Work& work : works_) {
      diff::judge_kept_texts(*work.pre, *work.post, home_of(work), outside_of(work), exported,
                             work.diff);
    }
  }

  // A variable may go from one file, and what takes its place come in another.
  void judge_lost_states() {
    std::map<const match::RunObject*, diff::NewGlobals> of;
    for (const Work& work : works_) {
      of[work.run].merge(diff::new_globals(work.post_graph, work.diff));
    }
    for (Work& work : works_) {
      diff::judge_lost_state(*work.pre, *work.post, of[work.run], work.diff);
    }
  }

  // What goes in of one file may count on the boot code of another.
  void judge_boot_needs() {
    std::vector<diff::BootFile> files;
    std::map<const match::RunObject*, match::BootCallers> callers;
    for (Work& work : works_) {
      match::BootCallers& of_run = callers.try_emplace(work.run, *work.run).first->second;
      files.push_back({.pre = *work.pre,
                       .post = *work.post,
                       .home = home_of(work),
                       .object = work.run,
                       .diff = work.diff,
                       .boot_alone_calls = [&of_run, &work](const diff::Names& functions) {
                         return boot_alone_calls(of_run, *work.run, functions);
                       }});
    }
    diff::judge_boot_needs(files);
  }

  void judge_nothing_changed() {
    bool changed = std::ranges::any_of(
        works_, [](const Work& w) { return w.diff.any_changed() && !w.diff.only_boot_changed; });
    bool init = std::ranges::any_of(
        works_, [](const Work& w) { return w.diff.init_changed || w.diff.only_boot_changed; });
    if (changed) {
      return;
    }
    const Touched& touched = intake_.touched;
    const std::string& where =
        touched.sources.empty() ? touched.headers.front() : touched.sources.front();
    if (init) {
      const bool boots = std::ranges::any_of(
          works_, [](const Work& work) { return home_of(work) == diff::Home::vmlinux; });
      out_.refusals.push_back(
          Error{Code::init_only, where,
                boots ? "all that changes runs, or is read, only while the kernel boots, or is its "
                        "exit code, which never runs"
                      : "all that changes runs, or is read, only while the module loads",
                boots ? "no patch can bring it into force: it needs a kernel that is built with it"
                      : "no patch can bring it into force: build the module with it, and load that "
                        "one anew"});
    } else if (const std::string exports = other_exports(); !exports.empty()) {
      out_.refusals.push_back(
          Error{Code::no_change, where,
                fmt::format("the code is the same before and after the diff: all that changes is "
                            "which file exports {}, or whether one does",
                            exports),
                "what the kernel exports stays as it is until the next boot"});
    } else {
      out_.refusals.push_back(Error{Code::no_change, where,
                                    "the compiled code is the same before and after the diff",
                                    "nothing needs to be loaded; check that the diff is the one "
                                    "you mean"});
    }
  }

  // The names that a file exports before or after the diff, but not both.
  std::string other_exports() const {
    std::set<std::string_view> names;
    for (const Work& work : works_) {
      std::ranges::set_symmetric_difference(diff::exports_of(work.pre_object),
                                            diff::exports_of(work.post_object),
                                            std::inserter(names, names.end()));
    }
    return fmt::format("{}", fmt::join(names, ", "));
  }

  Status compare_types() {
    double start = now_seconds();
    std::set<std::string> told;
    source::TypeNames names;
    if (std::ranges::any_of(works_, [](const Work& work) { return work.unit.types; })) {
      for (const source::ChangedFile& file : intake_.files) {
        names.add(file.before, file.after);
      }
    }
    for (Work& work : works_) {
      const std::string& source = work.unit.command.source;
      std::optional<kernel::TypeTable> pre = TRY(types_of(work.pre_object, source));
      if (!pre) {
        continue;
      }
      if (work.unit.types) {
        std::optional<kernel::TypeTable> post = TRY(types_of(work.post_object, source));
        for (Error& refusal : post ? changed_layouts(*pre, *post, names) : std::vector<Error>{}) {
          if (told.insert(refusal.where).second) {
            refusal.where = fmt::format("{}: {}", source, refusal.where);
            out_.refusals.push_back(std::move(refusal));
          }
        }
      }
      TRY(check_kernel_types(*pre, work.unit.command));
      TRY(check_exports(work));
    }
    out_.seconds.diff += now_seconds() - start;
    return {};
  }

  // The unit that exports the name before the diff: this one, or the one that it comes from.
  const Unit& exporter_before(const Work& work, std::string_view name) const {
    auto exports = [&](const Work& other) {
      return diff::exports_of(other.pre_object).contains(name);
    };
    auto found = exports(work) ? works_.end() : std::ranges::find_if(works_, exports);
    return found == works_.end() ? work.unit : found->unit;
  }

  // What the diff may change beside bodies of functions may change how others call them.
  Status check_exports(const Work& work) {
    if (!work.unit.types) {
      return {};
    }
    // By another file of the object, perhaps.
    std::set<std::string_view> before = work.diff.correlation.elsewhere.still_exported;
    before.merge(diff::exports_of(work.pre_object));
    std::vector<std::string_view> names;
    std::ranges::set_intersection(before, diff::exports_of(work.post_object),
                                  std::back_inserter(names));
    std::vector<KeptExport> kept;
    for (std::string_view name : names) {
      kept.push_back({.name = name, .before = &exporter_before(work, name)});
    }
    for (Error& refusal : TRY(changed_exports(kernel_, work.unit, kept, side_.symvers(), place_))) {
      refusal.where = fmt::format("{}: {}", work.unit.command.source, refusal.where);
      out_.refusals.push_back(std::move(refusal));
    }
    return {};
  }

  // A module states the types that vmlinux does not have, of the same name as another's perhaps.
  Status check_kernel_types(const kernel::TypeTable& pre, const source::CompileCommand& command) {
    if (!side_.types()) {
      return {};
    }
    std::vector<const kernel::TypeTable*> tables{&*side_.types()};
    std::optional<kernel::TypeTable> own;
    if (command.is_module) {
      const LoadedModule* loaded = TRY(side_.module(command));
      own = TRY(types_of(loaded->image.elf(), loaded->image.name(), &*side_.types()));
    }
    if (own) {
      tables.push_back(&*own);
    }
    std::optional<Error> wrong = foreign_layout(pre, tables);
    if (wrong) {
      wrong->where = fmt::format("{}: {}", command.source, wrong->where);
      out_.refusals.push_back(std::move(*wrong));
    }
    return {};
  }

  void judge_previous() {
    if (!previous_) {
      return;
    }
    auto conflict =
        module::judge_states(module::states_of(intake_.metadata), {module::states_of(*previous_)});
    if (conflict) {
      out_.refusals.push_back(std::move(*conflict));
    }
  }

  Status match_all() {
    double start = now_seconds();
    // What only includes a changed header, and compiles to the same, is not touched.
    for (auto it = works_.begin(); it != works_.end();) {
      auto next = std::next(it);
      if (!named(it->unit) && !it->diff.takes_anything() &&
          it->diff.correlation.elsewhere.gone.empty()) {
        untouched_.splice(untouched_.end(), works_, it);
      }
      it = next;
    }
    for (Work& work : works_) {
      work.matched = match::match(work.pre_graph, *work.run);
      out_.matched += work.matched.functions.size();
      out_.of += work.matched.of;
      for (const auto& [piece, mismatch] : work.matched.mismatches) {
        out_.unmatched.push_back(fmt::format("{}+{:#x}: {}", work.pre_graph.piece(piece).name,
                                             mismatch.offset, mismatch.reason));
      }
      work.binder.emplace(*work.run, side_.symvers(), work.pre_graph, work.matched);
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
      for (std::int32_t gone : work.diff.correlation.elsewhere.gone) {
        if (auto it = work.matched.mismatches.find(gone); it != work.matched.mismatches.end()) {
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
    for (Work& work : works_) {
      if (work.diff.takes_anything() || !work.diff.correlation.elsewhere.gone.empty()) {
        inputs.push_back(module::LinkInput{.source = work.unit.command.source,
                                           .build_id = work.run->build_id(),
                                           .post = &*work.post,
                                           .diff = &work.diff,
                                           .binder = &*work.binder,
                                           .outside = outside_of(work),
                                           .file = work.file});
      }
    }
    const module::LinkTarget target = TRY(link_target());
    module::Linked linked = TRY(module::link(inputs, target, intake_.metadata));
    out_.seconds.link = now_seconds() - start;
    TRY(check(linked.module));
    start = now_seconds();
    const fs::path directory =
        request_.output_directory.empty() ? fs::path(".") : request_.output_directory;
    out_.module = directory / (intake_.metadata.name + ".ko");
    // The proof is of the module itself: the kernel cuts the signature off before it looks at it.
    if (signer_) {
      linked.module = TRY(signer_->sign(linked.module));
    }
    TRY(write_file(out_.module, linked.module));
    out_.metadata = std::move(linked.metadata);
    if (!out_.metadata.pinned.empty()) {
      out_.notes.push_back(
          fmt::format("this patch can be disabled, but its module can never be removed: others may "
                      "call or use what is only there, {}",
                      module::describe(out_.metadata.pinned)));
    }
    if (previous_) {
      out_.succession = succession(*previous_, out_.metadata);
      TRY(note_state_of_previous());
    }
    out_.seconds.link += now_seconds() - start;
    return {};
  }

  Result<module::LinkTarget> link_target() const {
    const kernel::RunSymbol* text = side_.vmlinux().symbols().unique("_text");
    if (text == nullptr) {
      return fail(Code::bad_image, kernel_.vmlinux.string(),
                  "its symbols do not say where it starts", "check that the image is whole");
    }
    return module::LinkTarget{.glue = side_.glue(),
                              .symvers = side_.symvers(),
                              .core_exports = side_.core_exports(),
                              .image_text = text->address,
                              .image_build_id = side_.vmlinux().build_id()};
  }

  // Nothing is written that cannot be shown to mean what the sources mean.
  Status check(const Bytes& module) {
    double start = now_seconds();
    prove::Case about = proof_case(side_);
    extent_->set(proof_files(intake_.files), absent_);
    about.scope = &extent_->scope();
    std::vector<KeptUnit> kept;
    for (const std::list<Work>* works : {&works_, &untouched_}) {
      for (const Work& work : *works) {
        kept.push_back(
            KeptUnit{work.unit.command.source, work.run->name(), work.unit.pre, work.unit.post});
        about.units.push_back(proof_unit(work.unit.command.source, *work.run, work.pre_graph,
                                         work.post_object, work.matched));
        for (const module::Ignored& ignored : request_.ignored) {
          if (ignored.source == work.unit.command.path()) {
            kept.back().ignored.emplace_back(ignored.name, ignored.reason);
          }
        }
        about.units.back().ignored = kept.back().ignored;
      }
    }
    if (!request_.keep_objects.empty()) {
      TRY(keep_objects(request_.keep_objects, kept, extent_->scope()));
    }
    out_.proof = prove::prove(module, about);
    out_.seconds.prove = now_seconds() - start;
    return verdict(out_.proof);
  }

  const Request& request_;
  const kernel::Kernel& kernel_;
  const kernel::Progress& progress_;
  Outcome out_;
  kernel::Units units_;
  Intake intake_;
  std::optional<module::Metadata> previous_;
  WorkDir directory_;
  WorkPlace place_;
  PostCache posts_;
  Modules modules_;
  KernelSide side_;
  std::unique_ptr<Extent> extent_;
  std::optional<module::Signer> signer_;
  std::list<Work> works_;
  std::vector<std::string> absent_;  // sources that see another text, and whose code does not run
  std::list<Work> untouched_;        // they see another text, and compile to the same
};

}  // namespace

Result<Outcome> build(const Request& request, const kernel::Progress& progress) {
  return Builder(request, progress).run();
}

}  // namespace suture::patch
