// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: a kernel that no package describes: an image, a configuration, a Module.symvers and a
// source tree, of which any may be of another kernel than the rest, and none may be written to.
//
// Method: the image's build id is its identity; the decompressed image is kept under it.
// Configuration and symvers are checked against the image itself. A source tree that is prepared
// for that release is used where it is; any other is copied into the cache and prepared there, and
// the copy is good for as long as nothing in the original changes (names, sizes and times of all
// its files).
//
// Invariants: what the caller gave is only read. A copy is put in place by one rename and trusted
// only with the record that is written after it.
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <vector>

#include "base/digest.h"
#include "base/process.h"
#include "kernel/cache.h"
#include "kernel/exports.h"
#include "kernel/kernel.h"
#include "kernel/make_units.h"
#include "kernel/packages.h"
#include "kernel/prepare.h"
#include "kernel/symvers.h"
#include "kernel/toolchain.h"
#include "kernel/unit_list.h"
#include "kernel/vmlinuz.h"

namespace suture::kernel {

namespace {

Result<fs::path> absolute_of(const fs::path& path, std::string_view option) {
  std::error_code ec;
  fs::path absolute = fs::canonical(path, ec);
  if (ec) {
    return fail_errno(ec.value(), path.string(), option);
  }
  return absolute;
}

// The decompressed image, kept in the cache; the file that is named by the hash of the compressed
// image holds its build id, so that nothing is decompressed twice.
Result<std::string> keep_vmlinux(const fs::path& vmlinuz) {
  MappedFile file = TRY(MappedFile::open(vmlinuz));
  TRY(check_cache_owner());
  fs::path derived = cache_directory() / "derived";
  fs::path known = derived / "images" / sha256_hex(file.bytes());
  if (auto build_id = read_text(known);
      build_id && !build_id->empty() && fs::exists(derived / *build_id / "vmlinux")) {
    return *build_id;
  }
  FileLock lock = TRY(lock_cache());
  TRY(make_directories(known.parent_path()));
  remove_leftovers(derived);
  TempDir scratch = TRY(TempDir::create(derived, temporary_prefix));
  Bytes vmlinux = TRY(extract_vmlinux(file.bytes(), vmlinuz.string()));
  TRY(write_file(scratch.path() / "vmlinux", ByteView(vmlinux)));
  auto opened = Image::open(scratch.path() / "vmlinux");
  if (!opened) {
    // The file that is to blame is the one that was given, not our copy of what is in it.
    opened.error().where = vmlinuz.string();
  }
  Image image = TRY(std::move(opened));
  if (image.build_id().empty() || !is_release_name(image.release())) {
    return fail(Code::bad_image, vmlinuz.string(), "the image has no build id or no release",
                "give the image of a kernel that was linked with --build-id");
  }
  fs::path home = derived_directory(image.build_id());
  TRY(check_cache_owner(home));
  TRY(make_directories(home));
  TRY(rename_path(scratch.path() / "vmlinux", home / "vmlinux"));
  TRY(write_file(known, std::string_view(image.build_id())));
  return image.build_id();
}

// Configuration and exports are the image's. Checking the exports reads the whole image, so a pass
// is noted by the hashes of all that went into it.
Result<std::string> check_files(const Kernel& kernel) {
  std::string passed_by;
  for (const fs::path& path : {kernel.vmlinux, kernel.config, kernel.symvers}) {
    passed_by += TRY(sha256_file(path)) + "\n";
  }
  fs::path record = kernel.derived / "checked";
  if (auto known = read_text(record); known && known->starts_with(passed_by)) {
    return known->substr(passed_by.size());
  }
  Image image = TRY(Image::open(kernel.vmlinux));
  TRY(check_identity(image, kernel.config));
  Symvers symvers = TRY(Symvers::open(kernel.symvers));
  TRY(symvers_match(symvers, image));
  TRY(write_file(record, std::string_view(passed_by + image.release())));
  return image.release();
}

// A hash over the name, size and time of everything in a tree.
Result<std::string> fingerprint(const fs::path& tree) {
  std::vector<std::string> lines;
  std::error_code ec;
  for (fs::recursive_directory_iterator at(tree, ec), end; !ec && at != end; at.increment(ec)) {
    struct stat st {};
    if (::lstat(at->path().c_str(), &st) != 0) {
      return fail_errno(errno, at->path().string(), "stat");
    }
    lines.push_back(fmt::format("{} {} {} {}.{}\n", at->path().native(), st.st_mode, st.st_size,
                                st.st_mtim.tv_sec, st.st_mtim.tv_nsec));
  }
  if (ec) {
    return fail_errno(ec.value(), tree.string(), "read directory");
  }
  std::ranges::sort(lines);
  std::string all;
  for (const std::string& line : lines) {
    all += line;
  }
  return sha256_hex(as_bytes(all));
}

Status copy_tree(const fs::path& from, const fs::path& to) {
  TRY(make_directories(to));
  std::error_code ec;
  for (fs::recursive_directory_iterator at(from, ec), end; !ec && at != end; at.increment(ec)) {
    if (interrupted()) {
      return fail(Code::interrupted, from.string(), "interrupted", "run the command again");
    }
    fs::path target = to / fs::path(at->path().native().substr(from.native().size() + 1));
    if (at->is_directory() && at->path().filename() == ".git") {
      at.disable_recursion_pending();
    } else if (at->is_symlink(ec)) {
      fs::copy_symlink(at->path(), target, ec);
    } else if (at->is_directory(ec)) {
      fs::create_directory(target, ec);
    } else if (at->is_regular_file(ec)) {
      fs::copy_file(at->path(), target, ec);
    }
    if (ec) {
      break;
    }
  }
  if (ec) {
    return fail_errno(ec.value(), from.string(), "copy");
  }
  return {};
}

// Copies a source tree and prepares the copy for the kernel.
Status prepare_copy(const Kernel& kernel, const fs::path& given, const fs::path& fresh,
                    const Progress& progress) {
  TRY(copy_tree(given, fresh));
  std::string config = TRY(read_text(kernel.config));
  ConfigIdentity identity = TRY(config_identity(config, kernel.config.string()));
  if (fs::exists(fresh / "include/config")) {
    // Objects of another configuration must not pass for this one's.
    Command clean = kbuild_command(fresh, identity.arch,
                                   TRY(find_compiler(identity.compiler_text, kernel.toolchain)),
                                   kernel.release);
    clean.argv.push_back("mrproper");
    clean = in_toolchain(kernel.toolchain, std::move(clean), {}, {fresh});
    TRY(run_checked(clean, Code::prepare_failed, given.string(), "give an unchanged source tree"));
  }
  return prepare_tree(fresh, kernel.config, kernel.symvers, kernel.release, kernel.toolchain,
                      progress);
}

// The private, prepared copy of a tree that is not prepared for this kernel.
Result<fs::path> keep_source(const Kernel& kernel, const fs::path& given) {
  fs::path copy = kernel.derived / "source";
  fs::path record = kernel.derived / "source.origin";
  std::string origin =
      TRY(fingerprint(given)) + TRY(sha256_file(kernel.config)) + kernel.toolchain.string();
  FileLock lock = TRY(lock_cache());
  if (auto known = read_text(record); known && *known == origin && fs::exists(copy)) {
    return copy;
  }
  std::error_code ec;
  fs::remove(record, ec);
  remove_leftovers(kernel.derived);
  TempDir scratch = TRY(TempDir::create(kernel.derived, temporary_prefix));
  fs::path fresh = scratch.path() / "source";
  TRY(prepare_copy(kernel, given, fresh, [](std::string_view) {}));
  if (fs::exists(copy, ec)) {
    TRY(rename_path(copy, scratch.path() / "old"));
  }
  TRY(rename_path(fresh, copy));
  TRY(write_file(record, std::string_view(origin)));
  return copy;
}

// Names the list of a tree that is used where it is, made where the tree has none; false where
// files are missing in the tree that kbuild generates, so that not all of the kernel compiles in
// it.
Result<bool> take_units(Kernel& kernel, const fs::path& tree) {
  kernel.units = units_file(tree);
  if (is_current_list(kernel.units)) {
    return true;
  }
  kernel.units = kernel.derived / "units";
  const fs::path record = kernel.derived / "units.origin";
  std::string origin = fmt::format("{}\n{}\n", units_format, tree.string());
  for (const char* part : {"Makefile", ".config", "Module.symvers"}) {
    origin += TRY(sha256_file(tree / part)) + "\n";
  }
  auto known = read_text(record);
  if (known && known->starts_with(origin)) {
    return known->ends_with("whole\n");
  }
  FileLock lock = TRY(lock_cache());
  const bool whole = TRY(list_units({.tree = tree,
                                     .config = kernel.config,
                                     .release = kernel.release,
                                     .toolchain = kernel.toolchain},
                                    kernel.units));
  TRY(write_file(record, std::string_view(origin + (whole ? "whole\n" : "in part\n"))));
  return whole;
}

}  // namespace

namespace {

// The files as they were given, checked against each other; neither source nor toolchain yet.
Result<Kernel> take_files(const KernelFiles& files) {
  Kernel kernel;
  kernel.vmlinuz = TRY(absolute_of(files.vmlinuz, "--vmlinuz"));
  kernel.config = TRY(absolute_of(files.config, "--config"));
  kernel.symvers = TRY(absolute_of(files.symvers, "--symvers"));
  kernel.source = TRY(absolute_of(files.source, "--source"));
  if (!files.modules.empty()) {
    kernel.modules = TRY(absolute_of(files.modules, "--modules"));
  }
  std::string version = TRY(source_version(kernel.source));
  kernel.build_id = TRY(keep_vmlinux(kernel.vmlinuz));
  kernel.derived = derived_directory(kernel.build_id);
  kernel.root = kernel.derived;
  kernel.vmlinux = kernel.derived / "vmlinux";
  kernel.release = TRY(check_files(kernel));

  std::string config = TRY(read_text(kernel.config));
  ConfigIdentity identity = TRY(config_identity(config, kernel.config.string()));
  if (version != identity.version) {
    return fail(
        Code::config_mismatch, kernel.source.string(),
        fmt::format("the source is of Linux {}, the kernel of Linux {}", version, identity.version),
        fmt::format("give the source of {}", kernel.release));
  }
  return kernel;
}

// The entry of given files, in `root`.
Status copy_files(Kernel kernel, const fs::path& root, const Archive& archive,
                  const Progress& progress) {
  progress("copying image, modules and source");
  TRY(copy_tree(kernel.modules, root / "modules"));
  for (const auto& [from, name] : {std::pair{kernel.vmlinuz, "vmlinuz"},
                                   {kernel.vmlinux, "vmlinux"},
                                   {kernel.config, "config"},
                                   {kernel.symvers, "Module.symvers"}}) {
    std::error_code ec;
    fs::copy_file(from, root / name, ec);
    if (ec) {
      return fail_errno(ec.value(), from.string(), "copy");
    }
  }
  const std::string config = TRY(read_text(kernel.config));
  const std::string toolchain =
      TRY(choose_toolchain(config, kernel.config.string(), archive, progress));
  kernel.toolchain = toolchain_root(toolchain);
  TRY(prepare_copy(kernel, kernel.source, root / "source", progress));
  const Image image = TRY(Image::open(kernel.vmlinux));
  return write_entry(root, image,
                     {.packages = {}, .suite = archive.suite(), .toolchain = toolchain});
}

}  // namespace

Result<Kernel> from_files(const KernelFiles& files) {
  Kernel kernel = TRY(take_files(files));
  const std::string config = TRY(read_text(kernel.config));
  kernel.toolchain = toolchain_root(TRY(known_toolchain(config, kernel.config.string())));
  if (is_prepared(kernel.source, kernel.config, kernel.release) &&
      TRY(take_units(kernel, kernel.source))) {
    return kernel;
  }
  kernel.source = TRY(keep_source(kernel, kernel.source));
  kernel.units = units_file(kernel.source);
  return kernel;
}

Result<Added> add_files(const KernelFiles& files, const Archive& archive,
                        const Progress& progress) {
  const Kernel given = TRY(take_files(files));
  const bool made = TRY(make_entry(given.release, progress, [&](const fs::path& root) {
    return copy_files(given, root, archive, progress);
  }));
  Kernel kernel = TRY(read_entry(given.release));
  if (kernel.build_id != given.build_id) {
    return fail(Code::wrong_kernel, given.release, "another kernel of this release is in the cache",
                fmt::format("suture kernel remove {}, then add this one", given.release));
  }
  return Added{.kernel = std::move(kernel), .made = made};
}

}  // namespace suture::kernel
