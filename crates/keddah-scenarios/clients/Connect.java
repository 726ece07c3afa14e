import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.Statement;

/**
 * Connects with PostgreSQL's JDBC driver by the URLs it is given, and uses each as an application
 * does: prepared statements often enough for the driver to prepare them on the server, a transaction
 * that writes where the server lets it. Prints one line for each, as connect.py does.
 */
public class Connect {
    public static void main(String[] urls) throws Exception {
        for (String url : urls) {
            try (Connection connection = DriverManager.getConnection(url)) {
                connection.setAutoCommit(false);
                try (PreparedStatement add = connection.prepareStatement("SELECT ?::int + 1")) {
                    for (int number = 0; number < 12; number++) {
                        add.setInt(1, number);
                        try (ResultSet result = add.executeQuery()) {
                            result.next();
                            if (result.getInt(1) != number + 1) {
                                throw new IllegalStateException("a wrong sum");
                            }
                        }
                    }
                }
                String question = "SELECT current_user, pg_is_in_recovery()";
                try (Statement statement = connection.createStatement();
                        ResultSet result = statement.executeQuery(question)) {
                    result.next();
                    boolean replica = result.getBoolean(2);
                    System.out.println(result.getString(1) + (replica ? " replica" : " primary"));
                    if (!replica) {
                        statement.execute("CREATE TEMP TABLE scratch (n int) ON COMMIT DROP");
                        statement.execute("INSERT INTO scratch VALUES (1)");
                    }
                }
                connection.commit();
            }
        }
    }
}
