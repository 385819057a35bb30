"""The subject of the telemetry, from what /proc and the environment show of processes, containers and pods."""

from __future__ import annotations

import os

import pytest

from agent.resource import container_id, environment, of_log_path, process, service_name

ID = "f3c1" * 16


@pytest.fixture
def proc(tmp_path):
    """A process table with one process, 7, and the agent's own."""
    for name in ("7", "self"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("target", "command", "name"),
    [
        ("", ("/usr/bin/python3", "app.py"), "unknown_service:python3"),
        ("", ("./start.sh",), "unknown_service:start.sh"),
        ("pidfile:/run/nginx.pid", (), "unknown_service:nginx"),
        ("pidfile:/run/app/main", (), "unknown_service:main"),
        ("name:strategy_agent", (), "unknown_service:strategy_agent"),
        (r"name:^python -m \bmarket\.feed", (), "unknown_service:python"),
        ("name:.*", (), "unknown_service"),
        ("cgroup:/system.slice/postgres.service", (), "unknown_service:postgres"),
        (f"cgroup:/system.slice/docker-{ID}.scope", (), "unknown_service"),
        (f"pid:{2**22 + 1}", (), "unknown_service"),
        ("", (), "unknown_service"),
    ],
)
def test_the_service_is_named_after_what_is_watched(target, command, name):
    """The default is the specification's, with a name that stays the same when the process comes later or again."""
    assert service_name(target, command) == name


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("cgroup", f"12:memory:/docker/{ID}\n11:cpu:/docker/{ID}\n"),
        ("cgroup", f"0::/system.slice/docker-{ID}.scope\n"),
        ("cgroup", f"0::/kubepods.slice/kubepods-burstable-pod9.slice/cri-containerd-{ID}.scope\n"),
        ("cgroup", f"0::/machine.slice/libpod-{ID}.scope/container\n"),
        ("mountinfo", f"710 690 254:1 /var/lib/docker/containers/{ID}/hostname /etc/hostname rw,relatime - ext4 /dev/vda1 rw\n"),
        ("mountinfo", f"9 8 0:24 /containers/storage/overlay-containers/{ID}/userdata/hosts /etc/hosts rw - tmpfs tmpfs rw\n"),
    ],
)
def test_a_container_id_is_found(proc, file, text):
    """In the cgroup's path, and where a namespace hides that, in the files that the engine mounts."""
    (proc / "7" / "cgroup").write_text("0::/\n")
    (proc / "7" / file).write_text(text)

    assert container_id(7, proc) == ID


@pytest.mark.parametrize(
    "mounts",
    [
        "",
        f"1 0 0:1 / /var/lib/docker/overlay2/{ID}/merged rw - overlay overlay rw\n",  # another one's, seen from the host
        f"1 0 0:1 /x/{ID}{ID}/hostname /etc/hostname rw - ext4 /dev/vda1 rw\n",
    ],
)
def test_no_container_id_is_invented(proc, mounts):
    """Outside of containers there is none, whatever else has 64 digits."""
    (proc / "7" / "cgroup").write_text("0::/user.slice/session-1.scope\n")
    (proc / "7" / "mountinfo").write_text(mounts)

    assert container_id(7, proc) == ""


def test_a_pod_is_described_by_what_it_was_given(proc):
    """The downward API's variables and kubelet's mounts give `k8s.*`; without Kubernetes such variables mean nothing."""
    uid = "0b6e9f3a-5a0f-4c0c-9d0e-1f2a3b4c5d6e"
    (proc / "self" / "mountinfo").write_text(f"1 0 8:1 /var/lib/kubelet/pods/{uid}/etc-hosts /etc/hosts rw - ext4 /dev/sda1 rw\n")
    env = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "POD_NAME": "shop-5", "POD_NAMESPACE": "prod", "K8S_NODE_NAME": "n1"}
    found = environment(env, proc)

    assert {key: value for key, value in found.items() if key.startswith("k8s.")} == {
        "k8s.namespace.name": "prod",
        "k8s.pod.name": "shop-5",
        "k8s.pod.uid": uid,
        "k8s.node.name": "n1",
    }
    assert set(environment({"POD_NAME": "shop-5"}, proc)) == {"host.name", "os.type"}


def test_a_process_is_described():
    """The test's own process: its executable, and when it began."""
    found = process(os.getpid())

    assert found["process.executable.path"].endswith(found["process.executable.name"])
    assert found["process.creation.time"].endswith("Z")
    assert process(2**22 + 1) == {}


UID = "0b6e9f3a-5a0f-4c0c-9d0e-1f2a3b4c5d6e"


@pytest.mark.parametrize(
    ("paths", "found"),
    [
        (
            [f"/var/log/pods/prod_shop-5_{UID}/app/2.log"],
            {
                "k8s.namespace.name": "prod",
                "k8s.pod.name": "shop-5",
                "k8s.pod.uid": UID,
                "k8s.container.name": "app",
                "k8s.container.restart_count": 2,
            },
        ),
        (
            [f"/host/var/log/pods/kube-system_etcd-n1_{ID[:32]}/etcd/0.log.20261129-100000.gz"],  # a static pod; rotated
            {
                "k8s.namespace.name": "kube-system",
                "k8s.pod.name": "etcd-n1",
                "k8s.pod.uid": ID[:32],
                "k8s.container.name": "etcd",
                "k8s.container.restart_count": 0,
            },
        ),
        (
            [f"/var/log/containers/shop-5_prod_app-{ID}.log", f"/var/log/pods/prod_shop-5_{UID}/app/0.log"],
            {
                "k8s.namespace.name": "prod",
                "k8s.pod.name": "shop-5",
                "k8s.container.name": "app",
                "container.id": ID,
                "k8s.pod.uid": UID,
                "k8s.container.restart_count": 0,
            },
        ),
        ([f"/var/lib/docker/containers/{ID}/{ID}-json.log"], {"container.id": ID}),
        ([f"/home/u/.local/share/containers/storage/overlay-containers/{ID}/userdata/ctr.log"], {"container.id": ID}),
        (["/var/log/pods/app.log", "/srv/containers/app/logs/0.log", f"/data/{ID}/a.log"], {}),
    ],
)
def test_a_log_path_names_its_container(paths, found):
    """Kubernetes, Docker and Podman write whose output it is into the path; no other path is mistaken for theirs."""
    assert of_log_path(*paths) == found
