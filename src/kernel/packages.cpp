// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: make a cached kernel of three Debian packages, fast, and never leave half of one behind.
//
// Method: under the cache's lock, packages are fetched (apt verifies them), the source is unpacked by
// one thread while another unpacks image and modules and decompresses vmlinux, then the source is
// prepared. All of it happens in a temporary directory beside the entry; one rename puts it in place.
//
// Invariants: kernels/REL exists whole or not at all; source, headers and image are of exactly one
// package version; a temporary directory that is found under the lock belongs to nobody.
#include "kernel/packages.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstring>
#include <future>
#include <mutex>

#include "kernel/apt.h"
#include "kernel/cache.h"
#include "kernel/prepare.h"
#include "kernel/unpack.h"
#include "kernel/vmlinuz.h"

namespace suture::kernel {

namespace {

constexpr std::string_view image_prefix = "linux-image-";

// "6.1" of "6.1.0-56-amd64".
std::string series_of(const std::string& release) {
  std::size_t dot = release.find('.');
  std::size_t end = release.find_first_not_of("0123456789", dot == std::string::npos ? 0 : dot + 1);
  return release.substr(0, end);
}

// "amd64" of "6.1.0-56-amd64", "cloud-amd64" of "6.1.0-56-cloud-amd64".
std::string flavour_of(const std::string& release) {
  for (std::size_t dash = release.find('-'); dash != std::string::npos;
       dash = release.find('-', dash + 1)) {
    if (dash + 1 < release.size() &&
        std::isdigit(static_cast<unsigned char>(release[dash + 1])) == 0) {
      return release.substr(dash + 1);
    }
  }
  return {};
}

// A few releases that the archive has image and source of, of the same flavour and nearest first.
Result<std::string> near_releases(const std::string& release) {
  std::vector<std::string> releases;
  for (const std::string& name : TRY(package_names(std::string(image_prefix)))) {
    std::string candidate = name.substr(image_prefix.size());
    if (is_release_name(candidate) && candidate.find('-') != std::string::npos &&
        !candidate.ends_with("-unsigned") && !candidate.ends_with("-dbg") &&
        (flavour_of(release).empty() || flavour_of(candidate) == flavour_of(release))) {
      releases.push_back(std::move(candidate));
    }
  }
  std::ranges::sort(releases, [&](const std::string& a, const std::string& b) {
    bool same_a = series_of(a) == series_of(release);
    bool same_b = series_of(b) == series_of(release);
    return same_a != same_b ? same_a : ::strverscmp(a.c_str(), b.c_str()) > 0;
  });
  std::string out;
  int count = 0;
  for (const std::string& candidate : releases) {
    std::string version = TRY(package_field(fmt::format("{}{}", image_prefix, candidate), "Version"));
    auto sources = TRY(package_versions("linux-source-" + series_of(candidate)));
    if (std::ranges::find(sources, version) != sources.end()) {
      out += (out.empty() ? "" : ", ") + candidate;
      if (++count == 5) {
        break;
      }
    }
  }
  return out;
}

std::unexpected<Error> unknown(const std::string& release, std::string reason) {
  auto near = near_releases(release);
  return fail(Code::unknown_release, release, std::move(reason),
              near && !near->empty() ? fmt::format("add one of: {}", *near)
                                     : "run 'apt-get update' and try again");
}

// The packages of a kernel. Image and headers come from one build, source from the same version.
struct Parts {
  Package image, headers, source;
};

Result<Parts> locate(const std::string& release) {
  if (!is_release_name(release)) {
    return unknown(release, "this is no release of a kernel");
  }
  std::string image = fmt::format("{}{}", image_prefix, release);
  std::string version = TRY(package_field(image, "Version"));
  if (version.empty()) {
    image += "-unsigned";  // architectures and flavours that Debian does not sign
    version = TRY(package_field(image, "Version"));
  }
  if (version.empty()) {
    return unknown(release, "the package archive has no such kernel");
  }
  std::string source = "linux-source-" + series_of(release);
  auto sources = TRY(package_versions(source));
  if (std::ranges::find(sources, version) == sources.end()) {
    return unknown(release, fmt::format("the package archive has no {} of version {}", source, version));
  }
  return Parts{TRY(locate_package(image, version)),
               TRY(locate_package("linux-headers-" + release, version)),
               TRY(locate_package(source, version))};
}

std::string mebibytes(std::uint64_t bytes) { return fmt::format("{} MiB", (bytes >> 20) + 1); }

struct Fetched {
  fs::path image, headers, source;
};

Result<Fetched> fetch(const Parts& parts, const Progress& progress) {
  auto get = [&](const Package& package) {
    progress(fmt::format("fetching {} {} ({})", package.name, package.version,
                         mebibytes(package.size)));
    return fetch_package(package, downloads_directory());
  };
  Fetched fetched;
  fetched.image = TRY(get(parts.image));
  fetched.headers = TRY(get(parts.headers));
  fetched.source = TRY(get(parts.source));
  return fetched;
}

// Where the image package's files go in an entry.
std::optional<std::string> place_image(std::string_view name, const std::string& release) {
  for (const char* file : {"vmlinuz", "config", "System.map"}) {
    if (name == fmt::format("boot/{}-{}", file, release)) {
      return file;
    }
  }
  if (name.starts_with("usr/")) {
    name.remove_prefix(4);
  }
  std::string modules = fmt::format("lib/modules/{}/", release);
  if (name.starts_with(modules)) {
    return fmt::format("modules/{}", name.substr(modules.size()));
  }
  return std::nullopt;
}

Status unpack_image(const Fetched& fetched, const fs::path& root, const std::string& release) {
  TRY(unpack_deb(fetched.image, root,
                 [&](std::string_view name) { return place_image(name, release); }));
  std::string symvers = fmt::format("usr/src/linux-headers-{}/Module.symvers", release);
  TRY(unpack_deb(fetched.headers, root, [&](std::string_view name) {
    return name == symvers ? std::optional<std::string>("Module.symvers") : std::nullopt;
  }));
  for (const char* part : {"vmlinuz", "config", "modules", "Module.symvers"}) {
    if (!fs::exists(root / part)) {
      return fail(Code::bad_package, fetched.image.filename().string(),
                  fmt::format("the packages hold no {} of {}", part, release),
                  "this kernel is packaged otherwise; give its files with --vmlinuz and the like");
    }
  }
  MappedFile vmlinuz = TRY(MappedFile::open(root / "vmlinuz"));
  Bytes vmlinux = TRY(extract_vmlinux(vmlinuz.bytes(), "vmlinuz-" + release));
  return write_file(root / "vmlinux", ByteView(vmlinux));
}

// Source on one thread, image and modules on this one.
Status unpack(const Parts& parts, const Fetched& fetched, const fs::path& root,
              const std::string& release) {
  TRY(make_directories(root / "source"));
  auto source = std::async(std::launch::async, [&] {
    return unpack_tar_in_deb(fetched.source, fmt::format("usr/src/{}.tar.xz", parts.source.name),
                             root / "source");
  });
  Status image = unpack_image(fetched, root, release);
  Status unpacked = source.get();
  return image ? unpacked : image;
}

Status build_entry(const fs::path& root, const std::string& release, const Progress& progress) {
  Parts parts = TRY(locate(release));
  Fetched fetched = TRY(fetch(parts, progress));
  progress("unpacking image, modules and source");
  TRY(unpack(parts, fetched, root, release));
  Image image = TRY(Image::open(root / "vmlinux"));
  if (image.release() != release) {
    return fail(Code::bad_package, parts.image.name,
                fmt::format("the image in it is of {}", image.release()), "use another release");
  }
  TRY(check_identity(image, root / "config"));
  TRY(prepare_tree(root / "source", root / "config", root / "Module.symvers", release, progress));
  return write_entry(root, image, parts.image.version,
                     {parts.image, parts.headers, parts.source});
}

}  // namespace

// "Depends: linux-image-6.1.0-56-amd64 (= 6.1.192-2)"
Result<std::string> newest_release() {
  Finished arch = TRY(run_checked({{"dpkg", "--print-architecture"}, {}, {}}, Code::package_failed,
                                  "dpkg", "run this on a Debian system"));
  std::string name = fmt::format("{}{}", image_prefix, arch.out.substr(0, arch.out.find('\n')));
  std::string depends = TRY(package_field(name, "Depends"));
  std::size_t at = depends.find(image_prefix);
  if (at == std::string::npos) {
    return fail(Code::unknown_release, name, "the package archive does not say which kernel is newest",
                "run 'apt-get update', or name a release");
  }
  at += image_prefix.size();
  std::string release = depends.substr(at, depends.find_first_of(" ,(", at) - at);
  if (!is_release_name(release)) {
    return fail(Code::unknown_release, name, fmt::format("'{}' is no release", release),
                "name a release");
  }
  return release;
}

Result<Kernel> add(const std::string& release, const Progress& progress) {
  if (auto known = read_entry(release); known || known.error().code != Code::not_cached) {
    return known;
  }
  FileLock lock = TRY(lock_cache());
  if (auto known = read_entry(release); known || known.error().code != Code::not_cached) {
    return known;  // made while we waited
  }
  remove_leftovers(kernels_directory());
  remove_leftovers(downloads_directory());
  TempDir entry = TRY(TempDir::create(kernels_directory(), temporary_prefix));
  // mkdtemp makes it for its owner only; the entry is for everyone who may read the cache.
  std::error_code ec;
  fs::permissions(entry.path(), fs::perms(0755), ec);
  TRY(build_entry(entry.path(), release, progress));
  TRY(rename_path(entry.path(), kernels_directory() / release));
  entry.release();
  return read_entry(release);
}

}  // namespace suture::kernel
