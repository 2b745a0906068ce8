// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include <memory>

#include "cli/command.h"
#include "module/metadata.h"
#include "module/signature.h"

namespace suture::cli {

namespace {

Json to_json(const module::Metadata& metadata) {
  Json out{{"name", metadata.name},
           {"made_by_suture", metadata.ours},
           {"livepatch", metadata.livepatch},
           {"core", module::core_name(metadata.core)},
           {"version", metadata.version},
           {"tool", metadata.tool},
           {"kernel", metadata.release},
           {"vermagic", metadata.vermagic},
           {"build_id", metadata.build_id},
           {"replace", metadata.replace},
           {"description", metadata.description},
           {"cves", metadata.cves},
           {"states", Json::array()},
           {"callbacks", Json::array()},
           {"ignored", Json::array()},
           {"taken_back", Json::array()},
           {"pinned", Json::array()},
           {"diffs", Json::array()},
           {"objects", Json::array()},
           {"symbols",
            {{module::core_name(metadata.core), metadata.core_symbols},
             {"exported", metadata.imports}}}};
  for (const module::SourceDiff& diff : metadata.diffs) {
    out["diffs"].push_back({{"sha256", diff.sha256}, {"file", diff.file}});
  }
  for (const module::SystemState& state : metadata.states) {
    out["states"].push_back({{"id", state.id}, {"version", state.version}});
  }
  for (const module::Callback& callback : metadata.callbacks) {
    out["callbacks"].push_back({{"object", callback.object},
                                {"kind", callback.kind},
                                {"function", callback.function},
                                {"source", callback.source}});
  }
  for (const module::Ignored& ignored : metadata.ignored) {
    out["ignored"].push_back(
        {{"source", ignored.source}, {"name", ignored.name}, {"reason", ignored.reason}});
  }
  for (const module::Ignored& word : metadata.taken_back) {
    out["taken_back"].push_back(
        {{"source", word.source}, {"name", word.name}, {"reason", word.reason}});
  }
  for (const module::Pin& pin : metadata.pinned) {
    out["pinned"].push_back({{"name", pin.name}, {"by", pin.by}, {"source", pin.source}});
  }
  for (const module::PatchedObject& object : metadata.objects) {
    Json entry{{"name", object.name}, {"build_id", object.build_id}, {"functions", Json::array()}};
    for (const module::PatchedFunction& function : object.functions) {
      entry["functions"].push_back({{"name", function.name},
                                    {"sympos", function.sympos},
                                    {"source", function.source},
                                    {"change", function.is_new ? "new" : "changed"}});
    }
    out["objects"].push_back(std::move(entry));
  }
  return out;
}

std::string to_text(const module::Metadata& metadata) {
  std::string out;
  auto line = [&](std::string_view key, std::string_view value) {
    if (!value.empty()) {
      out += fmt::format("{:<12} {}\n", key, value);
    }
  };
  line("name", metadata.name);
  line("made by", metadata.ours ? "Suture " + metadata.tool : "another tool");
  line("core", module::core_name(metadata.core));
  line("version", metadata.version);
  line("description", metadata.description);
  line("kernel", metadata.release);
  line("vermagic", metadata.vermagic);
  line("build id", metadata.build_id);
  if (metadata.ours) {
    line("replace", metadata.replace ? "yes: replaces all earlier patches" : "no");
  }
  for (const std::string& cve : metadata.cves) {
    line("fixes", cve);
  }
  for (const module::SourceDiff& diff : metadata.diffs) {
    line("diff", fmt::format("{} {}", diff.sha256.substr(0, 16), diff.file));
  }
  for (const module::SystemState& state : metadata.states) {
    line("state", fmt::format("{} at version {}", state.id, state.version));
  }
  for (const module::Callback& callback : metadata.callbacks) {
    line(callback.kind,
         fmt::format("{} of {}  {}", callback.function, callback.object, callback.source));
  }
  for (const module::Ignored& ignored : metadata.ignored) {
    line("ignored", fmt::format("{}  {}: {}", ignored.name, ignored.source, ignored.reason));
  }
  for (const module::Ignored& word : metadata.taken_back) {
    line("taken back", fmt::format("{}  {}: {}", word.name, word.source, word.reason));
  }
  for (const module::Pin& pin : metadata.pinned) {
    line("pinned", fmt::format("others may use {} when the patch is off, by {}  {}", pin.name,
                               pin.by, pin.source));
  }
  for (const module::PatchedObject& object : metadata.objects) {
    line("object", object.build_id.empty() ? object.name
                                           : fmt::format("{} (build id {})", object.name,
                                                         object.build_id.substr(0, 16)));
    for (const module::PatchedFunction& function : object.functions) {
      out += fmt::format(
          "  {:<10} {}{}{}\n", function.is_new ? "new" : "changed", function.name,
          function.sympos == 0 ? "" : fmt::format(" (number {} of that name)", function.sympos),
          function.source.empty() ? "" : "  " + function.source);
    }
  }
  for (const std::string& symbol : metadata.core_symbols) {
    line("binds", symbol);
  }
  line("imports", fmt::format("{} exported symbols", metadata.imports.size()));
  return out;
}

Json signature_json(const std::optional<module::Signature>& signature) {
  if (!signature) {
    return nullptr;
  }
  return {{"hash", signature->hash},
          {"issuer", signature->issuer},
          {"serial", signature->serial},
          {"key_id", signature->key_id},
          {"unsigned_size", signature->unsigned_size}};
}

std::string signature_text(const std::optional<module::Signature>& signature) {
  if (!signature) {
    return "not signed";
  }
  return fmt::format("{}, by {}", signature->hash,
                     signature->key_id.empty()
                         ? fmt::format("certificate {} of {}", signature->serial, signature->issuer)
                         : "the key " + signature->key_id);
}

}  // namespace

void register_inspect(Commands& commands) {
  auto path = std::make_shared<std::string>();
  const Command command = commands.add("inspect", "Show what a patch module changes");
  command.example("suture inspect fix_1.ko");
  command.option("MODULE", *path, "The module file (.ko)").required();
  commands.on_run(command, [path]() -> Result<Report> {
    module::Metadata metadata = TRY(module::read_metadata(fs::path(*path)));
    if (!metadata.is_patch()) {
      return fail(Code::bad_module, *path, "it is a kernel module, but not a patch",
                  "give a module that `suture build` or another livepatch builder wrote");
    }
    const Bytes module = TRY(read_bytes(*path));
    const auto signature = TRY(module::signature_of(module, *path));
    Report report{.json = to_json(metadata), .text = to_text(metadata)};
    report.json["signature"] = signature_json(signature);
    report.text += fmt::format("{:<12} {}\n", "signature", signature_text(signature));
    return report;
  });
}

}  // namespace suture::cli
