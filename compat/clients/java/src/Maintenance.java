import static io.etcd.jetcd.common.exception.ErrorCode.FAILED_PRECONDITION;

import io.etcd.jetcd.Client;
import io.etcd.jetcd.KV;
import io.etcd.jetcd.cluster.Member;
import io.etcd.jetcd.maintenance.StatusResponse;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;

/** What members say of themselves and of each other. */
final class Maintenance {
    private Maintenance() {
    }

    static void members(World world) throws Exception {
        KV c = world.client.getKVClient();
        long revision = World.of(c.put(World.bytes("maintenance/a"), World.bytes("1"))).getHeader().getRevision();
        List<Member> members = World.of(world.client.getClusterClient().listMember()).getMembers();
        Set<String> urls = members.stream().flatMap(one -> one.getClientURIs().stream()).map(Object::toString).collect(Collectors.toSet());
        World.same(urls, new HashSet<>(world.endpoints), "the client URLs");
        Set<String> names = members.stream().map(Member::getName).collect(Collectors.toSet());
        World.same(names, Set.of("m0", "m1", "m2"), "the names");
        World.must(members.stream().noneMatch(Member::isLearner), "nobody learns");
        world.settle();
        Set<Long> ids = new HashSet<>();
        Set<Long> leaders = new HashSet<>();
        Set<Integer> hashes = new HashSet<>();
        for (int place = 0; place < world.endpoints.size(); place++) {
            StatusResponse status = world.status(place);
            World.must(!status.getVersion().isEmpty() && status.getDbSize() > 0 && status.getDbSizeInUse() > 0, "a status: " + status);
            World.must(status.getRaftTerm() > 0 && status.getRaftIndex() > 0 && status.getRaftAppliedIndex() > 0, "a status: " + status);
            World.must(status.getErrorList().isEmpty() && !status.isLearner(), "a status: " + status);
            ids.add(status.getHeader().getMemberId());
            leaders.add(status.getLeader());
            hashes.add(World.of(world.client.getMaintenanceClient().hashKV(world.endpoints.get(place), revision)).getHash());
        }
        World.same(ids, members.stream().map(Member::getId).collect(Collectors.toSet()), "the ids");
        World.same(List.of(leaders.size(), hashes.size()), List.of(1, 1), "the number of leaders and of hashes");
        World.must(World.of(world.client.getMaintenanceClient().listAlarms()).getAlarms().isEmpty(), "there is no alarm");

        // Leadership moves to who is told, by nobody but the leader.
        int old = world.leader();
        int next = (old + 1) % world.endpoints.size();
        long target = world.status(next).getHeader().getMemberId();
        try (Client follower = World.clientOf(List.of(world.endpoints.get(next)));
            Client leading = World.clientOf(List.of(world.endpoints.get(old)))) {
            World.refused(follower.getMaintenanceClient().moveLeader(target), FAILED_PRECONDITION, "etcdserver: not leader");
            World.of(leading.getMaintenanceClient().moveLeader(target));
        }
        World.same(world.leader(), next, "the leader after the move");
        World.of(c.put(World.bytes("maintenance/a"), World.bytes("2")));
    }
}
