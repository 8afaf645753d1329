// Captures znodes from Apache Kafka's own encoders, and checks ours with Kafka's own decoders. See README.md.
//
//   java -cp CP KafkaZnodes.java znodes            prints path TAB data
//   java -cp CP KafkaZnodes.java passwords         prints secret TAB password TAB encoded
//   java -cp CP KafkaZnodes.java doubles           prints the bits of a double (hex) TAB its text
//   java -cp CP KafkaZnodes.java check FILE        reads path TAB data, decodes each line with Kafka, encodes it again and
//                                                  compares the two as JSON; prints every line that differs. Passwords
//                                                  must be encrypted with the secret encoder-secret

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Random;
import kafka.api.LeaderAndIsr;
import kafka.cluster.EndPoint;
import kafka.controller.LeaderIsrAndControllerEpoch;
import kafka.controller.ReplicaAssignment;
import kafka.zk.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.config.types.Password;
import org.apache.kafka.common.feature.Features;
import org.apache.kafka.common.feature.SupportedVersionRange;
import org.apache.kafka.common.network.ListenerName;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourceType;
import org.apache.kafka.common.security.auth.KafkaPrincipal;
import org.apache.kafka.common.security.auth.SecurityProtocol;
import org.apache.kafka.common.security.scram.ScramCredential;
import org.apache.kafka.common.security.scram.internals.ScramCredentialUtils;
import org.apache.kafka.common.security.token.delegation.TokenInformation;
import org.apache.kafka.common.utils.Sanitizer;
import org.apache.kafka.metadata.LeaderRecoveryState;
import org.apache.kafka.metadata.migration.ZkMigrationLeadershipState;
import org.apache.kafka.security.EncryptingPasswordEncoder;
import org.apache.kafka.security.PasswordEncoder;
import org.apache.kafka.security.authorizer.AclEntry;
import org.apache.kafka.server.common.ProducerIdsBlock;
import org.apache.zookeeper.data.Stat;
import scala.Option;
import scala.jdk.javaapi.CollectionConverters;

public final class KafkaZnodes {
    public static void main(String[] args) throws Exception {
        switch (args[0]) {
            case "znodes": znodes(); break;
            case "passwords": passwords(); break;
            case "doubles": doubles(); break;
            case "check": check(Path.of(args[1])); break;
            default: throw new IllegalArgumentException(args[0]);
        }
    }

    private static void line(String path, byte[] data) {
        System.out.println(path + "\t" + new String(data, StandardCharsets.UTF_8));
    }

    private static scala.collection.immutable.Seq<Object> ids(Integer... ids) {
        return CollectionConverters.<Object>asScala(Arrays.<Object>asList((Object[]) ids)).toSeq();
    }

    private static void znodes() throws Exception {
        Uuid id = Uuid.fromString("Tv5Y2C6lTmKE4Yh2HqMEtA");
        Map<TopicPartition, ReplicaAssignment> partitions = new HashMap<>();
        partitions.put(new TopicPartition("orders", 0), ReplicaAssignment.apply(ids(1, 2)));
        partitions.put(new TopicPartition("orders", 10), ReplicaAssignment.apply(ids(3, 1, 2), ids(3), ids(1)));
        line(TopicZNode.path("orders"), TopicZNode.encode(Option.apply(id), CollectionConverters.asScala(partitions)));
        line(TopicZNode.path("old"), TopicZNode.encode(Option.empty(), CollectionConverters.asScala(new HashMap<>())));

        for (int partition = 0; partition < 2; partition++) {
            LeaderAndIsr state = LeaderAndIsr.apply(partition == 0 ? 2 : -1, 14, ids(2, 1).toList(),
                partition == 0 ? LeaderRecoveryState.RECOVERED : LeaderRecoveryState.RECOVERING, 0);
            line(TopicPartitionStateZNode.path(new TopicPartition("orders", partition)),
                TopicPartitionStateZNode.encode(new LeaderIsrAndControllerEpoch(state, 7)));
        }

        Properties properties = new Properties();
        properties.put("retention.ms", "60000");
        properties.put("quoted", "\"\\/\b\t\u0001é€");
        line(ConfigEntityZNode.path("topics", "orders"), ConfigEntityZNode.encode(properties));
        line(ConfigEntityZNode.path("topics", "empty"), ConfigEntityZNode.encode(new Properties()));

        Properties user = new Properties();
        user.put("request_percentage", Double.toString(58.58));
        user.put("producer_byte_rate", "1000");
        byte[] salt = "salt".getBytes(StandardCharsets.UTF_8);
        user.put("SCRAM-SHA-256", ScramCredentialUtils.credentialToString(
            new ScramCredential(salt, "stored-key".getBytes(StandardCharsets.UTF_8),
                "server-key".getBytes(StandardCharsets.UTF_8), 8192)));
        line(ConfigEntityZNode.path("users", Sanitizer.sanitize("user/1@prod *~+%é<default>")), ConfigEntityZNode.encode(user));

        line(ConfigEntityChangeNotificationSequenceZNode.createPath(),
            ConfigEntityChangeNotificationSequenceZNode.encode("users/alice/clients/app"));
        line(ControllerZNode.path(), ControllerZNode.encode(3000, 1729500000123L, 7));
        line(ControllerZNode.path(), ControllerZNode.encode(1, 1729500000123L, -1));
        line(ControllerEpochZNode.path(), ControllerEpochZNode.encode(12));
        line(MigrationZNode.path(), MigrationZNode.encode(
            new ZkMigrationLeadershipState(3000, 7, 1042L, 6, -1L, -2, -1, -2)));
        line(MigrationZNode.path(), MigrationZNode.encode(ZkMigrationLeadershipState.EMPTY));
        line(ProducerIdBlockZNode.path(), ProducerIdBlockZNode.generateProducerIdBlockJson(new ProducerIdsBlock(4, 3000L, 1000)));
        line(ClusterIdZNode.path(), ClusterIdZNode.toJson("MkU3OEVBNTcwNTJENDM2Qg"));

        List<EndPoint> endpoints = List.of(
            new EndPoint("h1", 9092, new ListenerName("PLAINTEXT"), SecurityProtocol.PLAINTEXT),
            new EndPoint("::1", 9093, new ListenerName("EXTERNAL"), SecurityProtocol.SASL_SSL));
        line(BrokerIdZNode.path(1), BrokerIdZNode.encode(5, "h1", 9092, CollectionConverters.asScala(endpoints).toSeq(), -1,
            Option.apply("a"), Features.supportedFeatures(Map.of("f", new SupportedVersionRange((short) 1, (short) 3)))));
        line(BrokerIdZNode.path(2), BrokerIdZNode.encode(2, null, -1, CollectionConverters.asScala(endpoints.subList(0, 1)).toSeq(),
            9999, Option.empty(), Features.emptySupportedFeatures()));

        for (PatternType type : List.of(PatternType.LITERAL, PatternType.PREFIXED)) {
            ZkAclStore store = type == PatternType.LITERAL ? LiteralAclStore$.MODULE$ : new ExtendedAclStore(type);
            for (ResourceType resourceType : List.of(ResourceType.TOPIC, ResourceType.TRANSACTIONAL_ID)) {
                ResourcePattern resource = new ResourcePattern(resourceType, "name:1", type);
                AclChangeNode change = store.changeStore().createChangeNode(resource);
                line(change.path(), change.bytes());
                java.util.Set<AclEntry> entries = new java.util.HashSet<>();
                for (AclOperation operation : AclOperation.values()) {
                    if (operation != AclOperation.ANY && operation != AclOperation.UNKNOWN) {
                        entries.add(new AclEntry(new AccessControlEntry("User:CN=a:b,O=ü", "*", operation,
                            operation == AclOperation.ALTER ? AclPermissionType.DENY : AclPermissionType.ALLOW)));
                    }
                }
                line(store.path(resourceType, "name:1"),
                    ResourceZNode.encode(CollectionConverters.asScala(entries).toSet()));
            }
        }

        TokenInformation token = TokenInformation.fromRecord("w2bZ9iV2T9W0k0Z3dCkO3A", new KafkaPrincipal("User", "alice@x"),
            new KafkaPrincipal("User", "bob"), List.of(new KafkaPrincipal("User", "c:d")), 1729500000000L, 1730104800000L, 1729586400000L);
        line(DelegationTokenInfoZNode.path(token.tokenId()), DelegationTokenInfoZNode.encode(token));
        line(DelegationTokenChangeNotificationSequenceZNode.createPath(),
            DelegationTokenChangeNotificationSequenceZNode.encode(token.tokenId()));
    }

    private static void passwords() throws Exception {
        String[][] kinds = {
            {"PBKDF2WithHmacSHA512", "AES/CBC/PKCS5Padding", "128"},
            {"PBKDF2WithHmacSHA512", "AES/CBC/PKCS5Padding", "256"},
            {"PBKDF2WithHmacSHA384", "AES/CBC/PKCS5Padding", "192"},
            {"PBKDF2WithHmacSHA256", "AES/CFB/PKCS5Padding", "128"},
            {"PBKDF2WithHmacSHA224", "AES/OFB/PKCS5Padding", "128"},
            {"PBKDF2WithHmacSHA1", "AES/CBC/PKCS5Padding", "128"},
            {"PBKDF2WithHmacSHA1", "AES/CFB/NoPadding", "128"},
            {"PBKDF2WithHmacSHA1", "AES/OFB/NoPadding", "128"},
            {"PBKDF2WithHmacSHA512", "AES/GCM/NoPadding", "128"},
            {"PBKDF2WithHmacSHA512", "AES/GCM/NoPadding", "192"},
            {"PBKDF2WithHmacSHA512", "AES/GCM/NoPadding", "256"},
        };
        String[] texts = {"p", "a password of some length, with more than one block", "ü€😀 sixteen.bytes"};
        for (String[] kind : kinds) {
            for (String text : texts) {
                PasswordEncoder encoder = PasswordEncoder.encrypting(new Password("encoder-secret"), kind[0], kind[1],
                    Integer.parseInt(kind[2]), 10);
                System.out.println("encoder-secret\t" + text + "\t" + encoder.encode(new Password(text)));
            }
        }
    }

    private static void doubles() {
        Random random = new Random(866);
        List<Double> values = new ArrayList<>(List.of(0.0, 1.0, 58.58, 1e7, 9999999.0, 1e-3, 9.99e-4, 12345678.9, 0.1 + 0.2,
            Double.MAX_VALUE, 100.0, 1e21, 123456.789, 1e15 + 0.5));
        for (int i = 0; i < 200; i++) {
            values.add(Math.exp(random.nextDouble() * 60 - 20));
            values.add((double) random.nextInt());
        }
        for (double value : values) {
            System.out.println(Long.toHexString(Double.doubleToLongBits(value)) + "\t" + value);
        }
    }

    private static void check(Path file) throws Exception {
        ObjectMapper json = new ObjectMapper();
        int checked = 0;
        int different = 0;
        int skipped = 0;
        for (String text : Files.readAllLines(file)) {
            String[] parts = text.split("\t", -1);
            String path = parts[0];
            byte[] data = parts[1].getBytes(StandardCharsets.UTF_8);
            byte[] again = recode(path, data);
            if (again == null) {
                skipped++;
                continue;
            }
            checked++;
            if (!comparable(json.readTree(data)).equals(comparable(json.readTree(again)))) {
                different++;
                System.out.println(path + "\n  ours:  " + parts[1] + "\n  Kafka: " + new String(again, StandardCharsets.UTF_8));
            }
        }
        System.out.println(checked + " checked, " + different + " different, " + skipped + " skipped");
        if (different > 0 || checked == 0) System.exit(1);
    }

    /** Access control entries are a set. */
    private static Object comparable(JsonNode node) {
        if (!node.has("acls")) return node;
        java.util.Set<JsonNode> entries = new java.util.HashSet<>();
        node.get("acls").forEach(entries::add);
        return entries;
    }

    /** Every password that we encrypted must be one that Kafka can decrypt; it checks the length. */
    private static void decryptPasswords(Properties properties) throws Exception {
        EncryptingPasswordEncoder encoder = PasswordEncoder.encrypting(new Password("encoder-secret"), null,
            "AES/CBC/PKCS5Padding", 128, 4096);
        for (Object value : properties.values()) {
            if (value.toString().contains("encryptedPassword:")) {
                System.out.println("decrypted: " + encoder.decode(value.toString()).value());
            }
        }
    }

    private static byte[] recode(String path, byte[] data) throws Exception {
        String[] parts = path.split("/");
        if (data.length == 0) return null;
        if (path.endsWith("/state")) {
            return TopicPartitionStateZNode.encode(TopicPartitionStateZNode.decode(data, new Stat()).get());
        } else if (path.startsWith("/brokers/topics/")) {
            TopicZNode.TopicIdReplicaAssignment topic = TopicZNode.decode(parts[3], data);
            return TopicZNode.encode(topic.topicId(), topic.assignment());
        } else if (path.startsWith("/config/changes/")) {
            return null;
        } else if (path.startsWith("/config/")) {
            Properties properties = ConfigEntityZNode.decode(data);
            decryptPasswords(properties);
            return ConfigEntityZNode.encode(properties);
        } else if (path.startsWith("/kafka-acl/") || path.startsWith("/kafka-acl-extended/")) {
            return ResourceZNode.encode(ResourceZNode.decode(data, new Stat()).acls());
        } else if (path.startsWith("/delegation_token/tokens/")) {
            return DelegationTokenInfoZNode.encode(DelegationTokenInfoZNode.decode(data).get());
        } else if (path.equals("/latest_producer_id_block")) {
            return ProducerIdBlockZNode.generateProducerIdBlockJson(ProducerIdBlockZNode.parseProducerIdBlockData(data));
        } else if (path.equals("/migration")) {
            return MigrationZNode.encode(MigrationZNode.decode(data, 0, 0));
        }
        return null;
    }
}
