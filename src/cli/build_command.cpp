// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>
#include <unistd.h>

#include <memory>

#include "cli/command.h"
#include "cli/proof_report.h"
#include "patch/build.h"
#include "patch/manifest.h"

namespace suture::cli {

namespace {

Json to_json(const patch::Outcome& outcome, const kernel::Kernel& kernel) {
  Json out;
  out["module"] = outcome.module.string();
  out["name"] = outcome.metadata.name;
  out["kernel"] = kernel.release;
  out["core"] = module::core_name(outcome.metadata.core);
  out["objects"] = Json::array();
  for (const module::PatchedObject& object : outcome.metadata.objects) {
    Json entry{{"name", object.name}, {"functions", Json::array()}};
    for (const module::PatchedFunction& function : object.functions) {
      entry["functions"].push_back({{"name", function.name},
                                    {"sympos", function.sympos},
                                    {"source", function.source},
                                    {"change", function.is_new ? "new" : "changed"}});
    }
    out["objects"].push_back(std::move(entry));
  }
  out["matched"] = {
      {"functions", outcome.matched}, {"of", outcome.of}, {"unmatched", outcome.unmatched}};
  out["compiled"] = {{"objects", outcome.compiled_objects}, {"kept", outcome.kept_objects}};
  out["proof"] = outcome.refusals.empty() ? proof_json(outcome.proof) : Json(nullptr);
  out["symbols"] = {{"exported", outcome.metadata.imports},
                    {module::core_name(outcome.metadata.core), outcome.metadata.core_symbols}};
  out["refusals"] = errors_json(outcome.refusals);
  out["pinned"] = Json::array();
  for (const module::Pin& pin : outcome.metadata.pinned) {
    out["pinned"].push_back({{"name", pin.name}, {"by", pin.by}, {"source", pin.source}});
  }
  out["notes"] = outcome.notes;
  if (const auto& onto = outcome.succession) {
    out["onto"] = {{"previous", onto->previous}, {"takes_over", onto->takes_over},
                   {"adds", onto->adds},         {"drops", onto->drops},
                   {"keeps", onto->keeps},       {"again", onto->again},
                   {"warnings", onto->warnings}};
  }
  const patch::Seconds& s = outcome.seconds;
  out["seconds"] = {{"source", s.source}, {"compile", s.compile}, {"diff", s.diff},
                    {"match", s.match},   {"link", s.link},       {"prove", s.prove},
                    {"total", s.total}};
  return out;
}

std::string succession_text(const patch::Succession& onto) {
  std::string out =
      fmt::format("\nonto {}: {}\n", onto.previous,
                  onto.takes_over ? "it replaces that patch" : "both patches stay in force");
  auto list = [&](std::string_view what, const std::vector<std::string>& functions) {
    for (const std::string& function : functions) {
      out += fmt::format("  {:<6} {}\n", what, function);
    }
  };
  list("adds", onto.adds);
  list("drops", onto.drops);
  list("keeps", onto.keeps);
  list("again", onto.again);
  for (const std::string& warning : onto.warnings) {
    out += fmt::format("warning: {}\n", warning);
  }
  return out;
}

std::string to_text(const patch::Outcome& outcome, const kernel::Kernel& kernel, int fd) {
  std::string out;
  for (const std::string& note : outcome.notes) {
    out += fmt::format("note: {}\n", note);
  }
  for (const Error& refusal : outcome.refusals) {
    out += error_text(refusal, fd);
  }
  if (!outcome.refusals.empty()) {
    return out;
  }
  std::vector<std::vector<std::string>> rows{{"OBJECT", "FUNCTION", "CHANGE", "SOURCE"}};
  for (const module::PatchedObject& object : outcome.metadata.objects) {
    for (const module::PatchedFunction& function : object.functions) {
      std::string name = function.sympos == 0
                             ? function.name
                             : fmt::format("{} ({})", function.name, function.sympos);
      rows.push_back({object.name, name, function.is_new ? "new" : "changed", function.source});
    }
  }
  out += table(rows);
  if (outcome.succession) {
    out += succession_text(*outcome.succession);
  }
  out += fmt::format(
      "\n{} for {}: {} of {} functions of the touched files match the shipped "
      "kernel;\n{}\n",
      paint(outcome.module.string(), Tone::good, fd), kernel.release, outcome.matched, outcome.of,
      proof_text(outcome.proof));
  return out;
}

struct BuildOptions {
  KernelChoice kernel;
  patch::Request request;
  fs::path manifest;
  bool no_replace = false;
  patch::Signing signing;
  std::string core = "livepatch";
};

// The command line wins over the manifest; the diffs of both count, the manifest's first.
Status add_manifest(BuildOptions& options) {
  patch::Request& request = options.request;
  if (!options.manifest.empty()) {
    patch::Manifest manifest = TRY(patch::read_manifest(options.manifest));
    request.patches.insert(request.patches.begin(), manifest.diffs.begin(), manifest.diffs.end());
    auto fill = [](std::string& to, const std::optional<std::string>& from) {
      to = to.empty() ? from.value_or("") : to;
    };
    fill(request.name, manifest.name);
    fill(request.version, manifest.version);
    fill(request.description, manifest.description);
    request.cves.insert(request.cves.end(), manifest.cves.begin(), manifest.cves.end());
    request.replace = manifest.replace.value_or(true);
    request.states = std::move(manifest.states);
    request.ignored = std::move(manifest.ignored);
  }
  if (request.patches.empty()) {
    return fail(Code::usage, "build", "no diff is given",
                "name diffs on the command line or in the manifest");
  }
  request.replace = request.replace && !options.no_replace;
  return {};
}

Result<Report> run(BuildOptions& options, bool json) {
  options.request.kernel = TRY(options.kernel.find());
  TRY(add_manifest(options));
  if (!options.signing.key.empty()) {
    options.request.signing = options.signing;
  }
  options.request.core = options.core == "suture" ? module::Core::suture : module::Core::livepatch;
  options.request.tool_version = SUTURE_VERSION;
  kernel::Progress line = progress();
  Result<patch::Outcome> outcome = patch::build(options.request, line);
  line("");
  if (!outcome) {
    return std::unexpected(outcome.error());
  }
  Report report;
  report.json = to_json(*outcome, options.request.kernel);
  report.text = options.kernel.default_note(options.request.kernel) +
                to_text(*outcome, options.request.kernel, json ? STDERR_FILENO : STDOUT_FILENO);
  report.exit_status = outcome->refusals.empty() ? 0 : exit_code(outcome->refusals.front().code);
  return report;
}

}  // namespace

void register_build(Commands& commands) {
  auto options = std::make_shared<BuildOptions>();
  const Command command = commands.add("build", "Make a patch module of diffs");
  command.example("suture build -n fix_1 fix.patch")
      .example("suture build -n fix_2 --onto fix_1.ko fix.patch second.patch");
  patch::Request& request = options->request;
  command.option("PATCH", request.patches,
                 "Unified diffs, applied in this order: files (also .gz, .xz, .zst, .bz2), "
                 "mailboxes of git format-patch, quilt directories and series files");
  command.option("-p,--strip", request.strip,
                 "Strip this many leading directories from file names in the diffs, like patch -p "
                 "(default: 1, or what makes the names fit the source)");
  command
      .option("--fuzz", request.fuzz,
              "Ignore up to this many lines of context at either end of a hunk, like patch -F "
              "(default: 0)")
      .between(0, 10);
  command
      .option("--manifest FILE", options->manifest,
              "A TOML file with more about the patch: docs/patch-author-guide.md")
      .existing();
  options->kernel.add_options(command);
  command.option("-n,--name NAME", request.name, "Name of the module (default: the first diff's)")
      .not_empty();
  command
      .option("-o,--output DIR", request.output_directory,
              "Directory for the module (default: the current one)")
      .existing();
  command.choice("--for", options->core, {"livepatch", "suture"},
                 "What runs the patch: the kernel's own livepatch (default), or Suture's own core, "
                 "which needs no livepatch in the kernel");
  command.option("--patch-version VERSION", request.version, "Version of the patch (default: 1)");
  command.option("--description", request.description,
                 "One line (default: the first diff's subject)");
  command.option("--cve CVE", request.cves,
                 "A CVE that it fixes; may be repeated, and those named in the diffs are found");
  command.option("--keep-objects DIR", request.keep_objects,
                 "Directory to leave the compiled objects in, for `suture check --prove`");
  command
      .option("--onto MODULE", request.onto,
              "An earlier patch's module: say what this one adds, drops, keeps and may lose, and "
              "refuse this one if it could not follow")
      .existing();
  command.flag("--no-replace", options->no_replace,
               "Leave earlier patches in force instead of replacing them");
  command.flag("--all-units", request.all_units,
               "Compile all files that a changed header affects, however many there are");
  patch::Signing& signing = options->signing;
  const Option key = command
                         .option("--sign-key FILE", signing.key,
                                 "Sign the module with this private key (PEM; a pass phrase is "
                                 "taken from KBUILD_SIGN_PIN)")
                         .existing();
  const Option certificate =
      command.option("--sign-cert FILE", signing.certificate, "... whose certificate this is")
          .existing();
  key.needs(certificate);
  certificate.needs(key);
  command
      .choice("--sign-hash", signing.hash, {"sha256", "sha384", "sha512"},
              "... with this hash (default: the one of the kernel's own modules)")
      .needs(key);
  commands.on_run(command, [options, &commands] { return run(*options, commands.json()); });
}

}  // namespace suture::cli
