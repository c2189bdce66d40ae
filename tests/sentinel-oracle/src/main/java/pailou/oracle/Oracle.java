package pailou.oracle;

import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

import com.alibaba.csp.sentinel.adapter.gateway.common.api.ApiDefinition;
import com.alibaba.csp.sentinel.adapter.gateway.common.api.ApiPathPredicateItem;
import com.alibaba.csp.sentinel.adapter.gateway.common.api.ApiPredicateGroupItem;
import com.alibaba.csp.sentinel.adapter.gateway.common.api.ApiPredicateItem;
import com.alibaba.csp.sentinel.adapter.gateway.common.api.GatewayApiDefinitionManager;
import com.alibaba.csp.sentinel.adapter.gateway.common.rule.GatewayFlowRule;
import com.alibaba.csp.sentinel.adapter.gateway.common.rule.GatewayRuleManager;
import com.alibaba.csp.sentinel.adapter.gateway.sc.SentinelGatewayFilter;
import com.alibaba.csp.sentinel.adapter.gateway.sc.callback.GatewayCallbackManager;
import com.alibaba.csp.sentinel.adapter.gateway.sc.exception.SentinelGatewayBlockExceptionHandler;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.sun.net.httpserver.HttpServer;
import reactor.core.publisher.Mono;

import org.springframework.beans.factory.ObjectProvider;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.cloud.gateway.filter.GlobalFilter;
import org.springframework.context.annotation.Bean;
import org.springframework.core.Ordered;
import org.springframework.core.annotation.Order;
import org.springframework.http.MediaType;
import org.springframework.http.codec.ServerCodecConfigurer;
import org.springframework.web.reactive.function.server.ServerResponse;
import org.springframework.web.reactive.result.view.ViewResolver;
import org.springframework.web.server.ServerWebExchange;

/**
 * A Spring Cloud Gateway with Sentinel's adapter, set up as the adapter's documentation says. The rules come over a port of
 * its own: `PUT /` with `{ "rules": [...], "groups": [...] }` puts them in the place of those before.
 */
@SpringBootApplication
public class Oracle {
    /** As Spring Cloud Alibaba reads them: fields that are not known are looked past. */
    private static final ObjectMapper JSON =
        new ObjectMapper().configure(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES, false);

    public static void main(String[] args) throws IOException {
        // The adapter sleeps on the thread that serves the connection. With many of them no request waits behind another.
        System.setProperty("reactor.netty.ioWorkerCount", "64");
        GatewayCallbackManager.setBlockHandler(Oracle::blocked);
        serveRules(Integer.getInteger("oracle.rules-port"));
        SpringApplication.run(Oracle.class, args);
    }

    @Bean
    @Order(Ordered.HIGHEST_PRECEDENCE)
    public GlobalFilter sentinelGatewayFilter() {
        return new SentinelGatewayFilter();
    }

    @Bean
    @Order(Ordered.HIGHEST_PRECEDENCE)
    public SentinelGatewayBlockExceptionHandler blockHandler(
            ObjectProvider<List<ViewResolver>> resolvers, ServerCodecConfigurer codecs) {
        return new SentinelGatewayBlockExceptionHandler(resolvers.getIfAvailable(List::of), codecs);
    }

    /**
     * What `DefaultBlockRequestHandler` does. That class itself was compiled for Spring 5, and calls a method that Spring 6
     * no longer has.
     */
    private static Mono<ServerResponse> blocked(ServerWebExchange exchange, Throwable error) {
        String message = "Blocked by Sentinel: " + error.getClass().getSimpleName();
        ServerResponse.BodyBuilder response = ServerResponse.status(429);
        List<MediaType> accepted = new ArrayList<>(exchange.getRequest().getHeaders().getAccept());
        accepted.remove(MediaType.ALL);
        if (accepted.stream().anyMatch(MediaType.TEXT_HTML::isCompatibleWith)) {
            return response.contentType(MediaType.TEXT_PLAIN).bodyValue(message);
        }
        Map<String, Object> body = new LinkedHashMap<>();
        body.put("code", 429);
        body.put("message", message);
        return response.contentType(MediaType.APPLICATION_JSON_UTF8).bodyValue(body);
    }

    private static void serveRules(int port) throws IOException {
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", port), 0);
        server.createContext("/", exchange -> {
            String said = "ok";
            int status = 200;
            try {
                load(JSON.readTree(exchange.getRequestBody()));
            } catch (Exception error) {
                status = 400;
                said = error.toString();
            }
            byte[] body = said.getBytes(StandardCharsets.UTF_8);
            exchange.sendResponseHeaders(status, body.length);
            exchange.getResponseBody().write(body);
            exchange.close();
        });
        server.start();
    }

    private static void load(JsonNode document) throws IOException {
        Set<ApiDefinition> groups = new HashSet<>();
        for (JsonNode group : document.path("groups")) {
            Set<ApiPredicateItem> items = new HashSet<>();
            for (JsonNode item : group.path("predicateItems")) {
                items.add(item(item));
            }
            groups.add(new ApiDefinition(group.path("apiName").asText()).setPredicateItems(items));
        }
        GatewayApiDefinitionManager.loadApiDefinitions(groups);
        Set<GatewayFlowRule> rules = new HashSet<>();
        for (JsonNode rule : document.path("rules")) {
            rules.add(JSON.treeToValue(rule, GatewayFlowRule.class));
        }
        GatewayRuleManager.loadRules(rules);
    }

    /** As `ApiPredicateItemDeserializer` of Spring Cloud Alibaba tells them apart: by `pattern` and `items`. */
    private static ApiPredicateItem item(JsonNode item) throws IOException {
        if (item.has("pattern")) {
            return JSON.treeToValue(item, ApiPathPredicateItem.class);
        }
        ApiPredicateGroupItem group = new ApiPredicateGroupItem();
        for (JsonNode inner : item.path("items")) {
            group.addItem(item(inner));
        }
        return group;
    }
}
