// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include <memory>

#include "cli/command.h"
#include "kernel/image.h"
#include "kernel/kernel.h"
#include "kernel/module_image.h"
#include "kernel/packages.h"

namespace suture::cli {

namespace {

Json to_json(const kernel::Kernel& kernel) {
  return {{"release", kernel.release},          {"package_version", kernel.package_version},
          {"build_id", kernel.build_id},        {"directory", kernel.root.string()},
          {"vmlinuz", kernel.vmlinuz.string()}, {"vmlinux", kernel.vmlinux.string()},
          {"config", kernel.config.string()},   {"symvers", kernel.symvers.string()},
          {"modules", kernel.modules.string()}, {"source", kernel.source.string()},
          {"derived", kernel.derived.string()}};
}

std::string key_value(std::string_view key, std::string_view value) {
  return fmt::format("{:<10} {}\n", key, value);
}

Result<Report> add(const std::string& release) {
  kernel::Progress tell = progress();
  std::string wanted = release.empty() ? TRY(kernel::newest_release()) : release;
  bool known = kernel::find(wanted).has_value();
  auto added = kernel::add(wanted, tell);
  tell("");
  kernel::Kernel kernel = TRY(std::move(added));
  Report report;
  report.json = to_json(kernel);
  report.json["added"] = !known;
  report.text = fmt::format("{} {} ({}, build id {})\n", known ? "already there:" : "added",
                            kernel.release, kernel.package_version, kernel.build_id.substr(0, 16));
  return report;
}

Result<Report> list() {
  Report report;
  report.json["kernels"] = Json::array();
  std::vector<std::vector<std::string>> rows{{"RELEASE", "PACKAGE", "BUILD ID"}};
  for (const kernel::Kernel& kernel : TRY(kernel::list())) {
    report.json["kernels"].push_back(to_json(kernel));
    rows.push_back({kernel.release, kernel.package_version, kernel.build_id.substr(0, 16)});
  }
  report.text = rows.size() > 1 ? table(rows)
                                : "no kernel is in the cache; add one with 'suture kernel add'\n";
  return report;
}

Result<Report> show(const std::string& release) {
  kernel::Kernel kernel = TRY(kernel::find(release));
  kernel::Image image = TRY(kernel::Image::open(kernel.vmlinux));
  kernel::ModuleDirectory modules = TRY(kernel::ModuleDirectory::open(kernel.modules));
  Report report;
  report.json = to_json(kernel);
  report.json["banner"] = image.banner();
  report.json["compiler"] = image.compiler();
  report.json["symbols"] = image.symbols().all().size();
  report.json["module_count"] = modules.all().size();
  report.text = key_value("release", kernel.release) +
                key_value("package", kernel.package_version) +
                key_value("build id", kernel.build_id) + key_value("compiler", image.compiler()) +
                key_value("symbols", fmt::format("{}", image.symbols().all().size())) +
                key_value("modules", fmt::format("{}", modules.all().size())) +
                key_value("directory", kernel.root.string());
  return report;
}

}  // namespace

void register_kernel(Commands& commands) {
  const Command kernel =
      commands.add("kernel", "Fetch stock kernels to build for, and see which ones are there");
  auto release = std::make_shared<std::string>();

  const Command add_command =
      kernel.add("add", "Fetch a stock kernel and prepare its source to compile");
  add_command.option("RELEASE", *release,
                     "Its release, e.g. 6.1.0-56-amd64 (default: the newest linux-image-amd64 of "
                     "Debian's archive)");
  commands.on_run(add_command, [release] { return add(*release); });

  const Command list_command = kernel.add("list", "List the kernels in the cache");
  commands.on_run(list_command, list);

  const Command show_command = kernel.add("show", "Show a kernel of the cache");
  show_command.option("RELEASE", *release, "Its release (default: the newest cached 6.1 amd64)");
  commands.on_run(show_command, [release] { return show(*release); });
}

}  // namespace suture::cli
