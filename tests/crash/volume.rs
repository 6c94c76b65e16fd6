//! File systems of a test's own: an image on a loop device, or memory. Where they cannot be had, the reason.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Runs a tool, or says why that did not work.
pub(crate) fn tool(name: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(name).args(arguments).output().map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(format!("{name} ended with {}: {said}", output.status))
}

/// A mounted file system; unmounted when it is dropped.
pub(crate) struct Volume {
    folder: TempDir,
    is_image: bool,
}

impl Volume {
    /// An image of so many bytes with a new file system of this kind.
    pub(crate) fn image(kind: &str, bytes: u64) -> Result<Self, String> {
        let volume = Self::folder(true)?;
        let image = File::create(volume.image_path()).map_err(|error| error.to_string())?;
        image.set_len(bytes).map_err(|error| error.to_string())?;
        tool(&format!("mkfs.{kind}"), &["-q", text(&volume.image_path())])?;
        volume.mount()?;
        Ok(volume)
    }

    /// So many bytes of memory.
    pub(crate) fn memory(bytes: u64) -> Result<Self, String> {
        let volume = Self::folder(false)?;
        let size = format!("size={bytes}");
        tool("mount", &["-t", "tmpfs", "-o", &size, "none", text(&volume.path())])?;
        Ok(volume)
    }

    fn folder(is_image: bool) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let volume = Self { folder, is_image };
        fs::create_dir(volume.path()).map_err(|error| error.to_string())?;
        Ok(volume)
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("mounted")
    }

    fn image_path(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    fn mount(&self) -> Result<(), String> {
        tool("mount", &["-o", "loop", text(&self.image_path()), text(&self.path())])
    }

    /// Makes a folder beside it whose `data` lies on it: what a daemon is started on.
    pub(crate) fn home(&self) -> PathBuf {
        let (home, data) = (self.folder.path().join("home"), self.path().join("data"));
        fs::create_dir(&home).unwrap();
        fs::create_dir(&data).unwrap();
        std::os::unix::fs::symlink(data, home.join("data")).unwrap();
        home
    }

    /// Cuts its power: what is not on the device is lost from this moment on (the shutdown ioctl, without
    /// flushing the journal).
    pub(crate) fn cut_power(&self) -> Result<(), String> {
        tool("xfs_io", &["-x", "-c", "shutdown", text(&self.path())])
    }

    /// Mounts it again, as after a start of the machine.
    pub(crate) fn mount_again(&self) {
        assert!(self.is_image);
        tool("umount", &[text(&self.path())]).unwrap();
        self.mount().unwrap();
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // It may not be mounted; and where something still uses it, it goes once that has ended.
        if tool("umount", &[text(&self.path())]).is_err() {
            tool("umount", &["--lazy", text(&self.path())]).ok();
        }
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
