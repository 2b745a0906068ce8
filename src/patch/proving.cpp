// SPDX-License-Identifier: GPL-2.0-or-later
#include "patch/proving.h"

#include <fmt/format.h>

#include "base/json.h"
#include "kernel/prepare.h"

namespace suture::patch {

namespace {

// Addresses outside a module were made up for matching, and say nothing.
std::optional<prove::RunPlace> place_of(const match::RunObject& run, std::uint64_t address) {
  if (run.name() == "vmlinux") {
    return prove::RunPlace{.value = address};
  }
  auto place = run.place(address);
  return place ? std::optional(prove::RunPlace{place->first, place->second}) : std::nullopt;
}

constexpr const char* list_name = "objects.json";

struct KeptObjects {
  std::vector<KeptUnit> units;
  std::vector<prove::Scope::File> files;
  std::vector<std::string> absent;
};

Result<std::string> read_kept(const fs::path& directory, const std::string& name) {
  return name.empty() ? std::string() : TRY(read_text(directory / name));
}

Result<KeptObjects> read_list(const fs::path& directory) {
  const fs::path path = directory / list_name;
  const std::string text = TRY(read_text(path));
  const Json json = Json::parse(text).value_or(Json{});
  JsonReader list(json);
  KeptObjects out;
  bool whole = list.integer("schema") == 1;
  for (const Json& it : list.items("units")) {
    JsonReader unit(it);
    KeptUnit& kept = out.units.emplace_back();
    kept.source = unit.text("source");
    kept.object = unit.text("object");
    kept.pre = directory / unit.text("pre");
    kept.post = directory / unit.text("post");
    for (const Json& entry : unit.items("ignored")) {
      JsonReader ignored(entry);
      kept.ignored.emplace_back(ignored.text("name"), ignored.text("reason"));
      whole = whole && ignored.whole();
    }
    whole = whole && unit.whole();
  }
  for (const Json& it : list.items("files")) {
    JsonReader file(it);
    prove::Scope::File& kept = out.files.emplace_back();
    kept.path = file.text("path");
    whole = whole && file.whole();
    // A file that the diff adds or deletes has one side only.
    kept.before = TRY(read_kept(directory, file.text("before")));
    kept.after = TRY(read_kept(directory, file.text("after")));
  }
  out.absent = list.texts("absent");
  if (!whole || !list.whole()) {
    return fail(Code::bad_config, path.string(), "it is not the list that a build leaves",
                "give the directory that `suture build --keep-objects` wrote");
  }
  return out;
}

}  // namespace

prove::Case proof_case(KernelSide& side) {
  return prove::Case{
      .units = {},
      .image = &side.image(),
      .exports = side.exports(),
      .symvers = &side.symvers(),
      .find_module = [&side](const std::string& name) -> Result<const kernel::ModuleImage*> {
        return &TRY(side.module(name, name))->image;
      },
      .core_exports = side.core_exports(),
      .glue = &side.glue().object,
      .constants = &side.glue().constants};
}

prove::Unit proof_unit(const std::string& source, const match::RunObject& run,
                       const diff::PieceGraph& pre, const elf::ObjectFile& post,
                       const match::MatchResult& matched) {
  prove::Unit unit{.source = source, .object = run.name(), .pre = &pre.object(), .post = &post};
  for (const auto& [piece, address] : matched.addresses) {
    auto place = place_of(run, address);
    if (place && pre.piece(piece).symbol != 0) {
      unit.defined.emplace(pre.piece(piece).symbol, *place);
    }
  }
  for (const auto& [name, address] : matched.externals) {
    if (auto place = place_of(run, address)) {
      unit.undefined.emplace(name, *place);
    }
  }
  return unit;
}

Result<std::unique_ptr<Extent>> Extent::open(const kernel::Kernel& kernel,
                                             const kernel::Image& image) {
  const std::string config = TRY(read_text(kernel.config));
  auto out = std::make_unique<Extent>();
  out->scope_.tree = kernel.source;
  out->scope_.configuration = prove::Configuration(config);
  prove::TreeIndex::Kernel about{
      .tree = kernel.source,
      .arch = TRY(kernel::config_identity(config, kernel.config.string())).arch,
      .configuration = &out->scope_.configuration,
      .image = &image,
      .modules = {}};
  if (!kernel.modules.empty()) {
    about.modules = TRY(kernel::ModuleDirectory::open(kernel.modules)).all();
  }
  out->index_ = TRY(prove::TreeIndex::open(about, kernel.derived / "proof-index"));
  out->scope_.index = &out->index_;
  return out;
}

std::vector<prove::Scope::File> proof_files(const std::vector<source::ChangedFile>& files) {
  std::vector<prove::Scope::File> out;
  for (const source::ChangedFile& file : files) {
    out.push_back({.path = file.path, .before = file.before, .after = file.after});
  }
  return out;
}

Status keep_objects(const fs::path& directory, const std::vector<KeptUnit>& units,
                    const prove::Scope& scope) {
  Json list{
      {"schema", 1}, {"units", Json::array()}, {"files", Json::array()}, {"absent", scope.absent}};
  for (const KeptUnit& unit : units) {
    const std::string pre = unit.source + ".pre.o";
    const std::string post = unit.source + ".post.o";
    TRY(make_directories((directory / pre).parent_path()));
    const Bytes before = TRY(read_bytes(unit.pre));
    const Bytes after = TRY(read_bytes(unit.post));
    TRY(write_file(directory / pre, before));
    TRY(write_file(directory / post, after));
    Json ignored = Json::array();
    for (const auto& [name, reason] : unit.ignored) {
      ignored.push_back({{"name", name}, {"reason", reason}});
    }
    list["units"].push_back({{"source", unit.source},
                             {"object", unit.object},
                             {"pre", pre},
                             {"post", post},
                             {"ignored", std::move(ignored)}});
  }
  for (const prove::Scope::File& file : scope.files) {
    Json entry{{"path", file.path}};
    TRY(make_directories((directory / file.path).parent_path()));
    for (const auto& [side, text] : {std::pair("before", &file.before), {"after", &file.after}}) {
      if (!text->empty()) {
        entry[side] = fmt::format("{}.{}", file.path, side);
        TRY(write_file(directory / fmt::format("{}.{}", file.path, side), *text));
      }
    }
    list["files"].push_back(std::move(entry));
  }
  return write_file(directory / list_name, list.text() + "\n");
}

Result<std::unique_ptr<Witness>> Witness::open(const kernel::Kernel& kernel, module::Core core,
                                               const fs::path& objects) {
  KeptObjects kept = TRY(read_list(objects));
  auto witness = std::make_unique<Witness>();
  witness->modules_ = TRY(Modules::open(kernel));
  witness->side_ = TRY(KernelSide::open(kernel, witness->modules_, core));
  witness->about_ = proof_case(witness->side_);
  for (const KeptUnit& unit : kept.units) {
    TRY(witness->add(unit));
  }
  if (!kept.files.empty()) {
    witness->extent_ = TRY(Extent::open(kernel, witness->side_.image()));
    witness->extent_->set(std::move(kept.files), std::move(kept.absent));
    witness->about_.scope = &witness->extent_->scope();
  }
  return witness;
}

Status Witness::add(const KeptUnit& kept) {
  Unit& unit = units_.emplace_back();
  unit.pre = TRY(elf::ObjectFile::open(kept.pre));
  unit.post = TRY(elf::ObjectFile::open(kept.post));
  const elf::Arch* arch = elf::arch_of(unit.pre.machine());
  if (arch == nullptr) {
    return fail(Code::wrong_kernel, kept.source, "its architecture is not supported",
                "use a kernel for x86-64");
  }
  unit.graph = TRY(diff::PieceGraph::build(unit.pre, *arch));
  const match::RunObject* run = kept.object == "vmlinux"
                                    ? &side_.vmlinux()
                                    : &TRY(side_.module(kept.object, kept.source))->run;
  unit.matched = match::match(unit.graph, *run);
  about_.units.push_back(proof_unit(kept.source, *run, unit.graph, unit.post, unit.matched));
  about_.units.back().ignored = kept.ignored;
  return {};
}

Status verdict(const prove::Proof& proof) {
  if (proof.accusations.empty()) {
    return {};
  }
  Error first = proof.accusations.front();
  if (proof.accusations.size() > 1) {
    first.reason += fmt::format(" (and {} further differences)", proof.accusations.size() - 1);
  }
  first.remedy = "nothing was written; this is a bug of Suture: report it with the diff";
  return std::unexpected(std::move(first));
}

}  // namespace suture::patch
